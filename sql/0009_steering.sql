-- What became of a message to a working agent, a command of kind `steer`. NULL: nothing yet.

ALTER TABLE run_commands ADD COLUMN outcome TEXT CHECK (outcome IN (
    'taken',      -- the agent has it
    'refused',    -- the agent did not take it
    'late'));     -- the run came to its end before the agent had it
