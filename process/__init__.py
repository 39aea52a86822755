"""What every process of ours does alike: reads settings, runs a loop, exits."""
