-- How providers are to us, as the workers say: each writes its own rows, and none is a fact about
-- a payment.

-- name: write_provider_states
-- A row a provider, again and again: who has not said anything for a while is dead.
INSERT INTO provider_states (provider, stage, worker, state, reason, since, updated_at)
SELECT
    said.provider,
    :stage::text AS stage,
    :worker::text AS worker,
    said.state,
    said.reason,
    said.since,
    now() AS updated_at
FROM unnest(
    :providers::text[], :states::text[], :reasons::text[], :since::timestamptz[]
) AS said (provider, state, reason, since)
ON CONFLICT (provider, stage, worker) DO UPDATE SET
    state = excluded.state,
    reason = excluded.reason,
    since = excluded.since,
    updated_at = excluded.updated_at;

-- name: withdraw_provider_states
-- Of a worker that stops: nobody need wait until it is thought dead.
DELETE FROM provider_states
WHERE stage = :stage AND worker = :worker;

-- name: forget_provider_states
-- Of workers that have long been thought dead.
DELETE FROM provider_states
WHERE updated_at < now() - interval '60 seconds';

-- name: worst_provider_states
-- Of each provider the worst that a living worker says, and who says so since when.
SELECT DISTINCT ON (provider)
    provider,
    stage,
    state,
    reason,
    since
FROM provider_states
WHERE updated_at > now() - interval '60 seconds'
ORDER BY
    provider,
    array_position(
        '{refusing_credentials,unreachable,circuit_open,limited,well}'::text[], state
    ),
    since;

-- name: provider_state_of_stage
-- The worst that a living worker of the stage says of one provider.
SELECT
    provider,
    state,
    reason,
    since
FROM provider_states
WHERE
    provider = :provider
    AND stage = :stage
    AND updated_at > now() - interval '60 seconds'
ORDER BY
    array_position(
        '{refusing_credentials,unreachable,circuit_open,limited,well}'::text[], state
    ),
    since
LIMIT 1;
