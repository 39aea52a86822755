DROP TABLE provider_states;
