"""What Hydra knows of trashlite besides the sweeper: resolvers, callbacks, and the report of a multirun."""
