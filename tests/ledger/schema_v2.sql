-- An empty ledger as version 2 of the tables made it.
BEGIN TRANSACTION;
CREATE TABLE account (
        id TEXT PRIMARY KEY, budget TEXT NOT NULL, scope TEXT NOT NULL, unit TEXT NOT NULL, "limit" INTEGER NOT NULL, ends REAL,
        blocking INTEGER NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE attempt (
        execution TEXT NOT NULL, step TEXT NOT NULL, number INTEGER NOT NULL, ok INTEGER NOT NULL,
        PRIMARY KEY (execution, step, number)) WITHOUT ROWID;
CREATE TABLE audit (sequence INTEGER PRIMARY KEY, time REAL NOT NULL, key TEXT NOT NULL UNIQUE, text TEXT NOT NULL,
        previous TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE entry (
        id TEXT NOT NULL UNIQUE, time REAL NOT NULL, activity TEXT NOT NULL, provider TEXT NOT NULL, operation TEXT NOT NULL,
        model TEXT, response_model TEXT, response_id TEXT, plugin TEXT, trace_id TEXT, span_id TEXT, service TEXT,
        workflow TEXT, execution TEXT, step TEXT, attempt INTEGER,
        customer TEXT, "user" TEXT, agent TEXT, campaign TEXT, session TEXT, other_keys TEXT,
        input_tokens INTEGER, output_tokens INTEGER, cache_read INTEGER, cache_write INTEGER, cache_write_1h INTEGER,
        reasoning INTEGER, other_usage TEXT, usage_state TEXT NOT NULL,
        nano_usd INTEGER, cost_status TEXT NOT NULL, price_source TEXT, price_version TEXT, price_model TEXT, price_date TEXT,
        duration REAL, first_chunk REAL, finish_reason TEXT, error TEXT,
        superseded INTEGER NOT NULL, charges TEXT, swept INTEGER NOT NULL);
CREATE TABLE execution (
        id TEXT NOT NULL UNIQUE, workflow TEXT NOT NULL, started REAL NOT NULL, ended REAL NOT NULL, status TEXT NOT NULL,
        keys TEXT NOT NULL, totals TEXT NOT NULL, error TEXT);
CREATE TABLE identity (id TEXT NOT NULL);
INSERT INTO "identity" VALUES('4ad5bb3b70edb6fd');
CREATE TABLE lease (entry TEXT PRIMARY KEY, expires REAL NOT NULL, holds TEXT NOT NULL, draft TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE span (
        trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT, name TEXT NOT NULL, kind TEXT NOT NULL,
        start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, status TEXT NOT NULL, status_message TEXT, scope TEXT NOT NULL,
        attributes TEXT NOT NULL, events TEXT NOT NULL, resource TEXT NOT NULL, links TEXT NOT NULL,
        UNIQUE (trace_id, span_id));
CREATE TABLE tally (service TEXT NOT NULL, activity TEXT NOT NULL, usage_state TEXT NOT NULL,
        operations INTEGER NOT NULL DEFAULT 0, nano_usd INTEGER NOT NULL DEFAULT 0, input INTEGER NOT NULL DEFAULT 0, cache_read INTEGER NOT NULL DEFAULT 0, cache_write INTEGER NOT NULL DEFAULT 0, output INTEGER NOT NULL DEFAULT 0, reasoning INTEGER NOT NULL DEFAULT 0, plugin INTEGER NOT NULL DEFAULT 0, superseded_operations INTEGER NOT NULL DEFAULT 0, superseded_tokens INTEGER NOT NULL DEFAULT 0, superseded_nano_usd INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (service, activity, usage_state)) WITHOUT ROWID;
CREATE INDEX entry_time ON entry (time);
CREATE INDEX entry_execution ON entry (execution, step) WHERE execution IS NOT NULL;
CREATE INDEX entry_trace ON entry (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX entry_response ON entry (response_id) WHERE response_id IS NOT NULL;
CREATE INDEX execution_started ON execution (started);
CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN INSERT INTO tally (service, activity, usage_state, operations, nano_usd, input, cache_read, cache_write, output, reasoning, plugin, superseded_operations, superseded_tokens, superseded_nano_usd)
        VALUES (coalesce(NEW.service, ''), NEW.activity, NEW.usage_state, 1, coalesce(NEW.nano_usd, 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), max(0, coalesce(NEW.input_tokens, 0) - coalesce(NEW.cache_read, 0) - (coalesce(NEW.cache_write, 0) + coalesce(NEW.cache_write_1h, 0))), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), coalesce(NEW.cache_read, 0), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), coalesce(NEW.cache_write, 0) + coalesce(NEW.cache_write_1h, 0), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), max(0, coalesce(NEW.output_tokens, 0) - coalesce(NEW.reasoning, 0)), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), coalesce(NEW.reasoning, 0), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NOT NULL), coalesce(NEW.input_tokens, 0) + coalesce(NEW.output_tokens, 0), 0), iif(NEW.superseded, 1, 0), iif(NEW.superseded, iif(NEW.usage_state <> 'unknown', coalesce(NEW.input_tokens, 0) + coalesce(NEW.output_tokens, 0), 0), 0), iif(NEW.superseded, coalesce(NEW.nano_usd, 0), 0))
        ON CONFLICT (service, activity, usage_state) DO UPDATE SET operations = operations + excluded.operations, nano_usd = nano_usd + excluded.nano_usd, input = input + excluded.input, cache_read = cache_read + excluded.cache_read, cache_write = cache_write + excluded.cache_write, output = output + excluded.output, reasoning = reasoning + excluded.reasoning, plugin = plugin + excluded.plugin, superseded_operations = superseded_operations + excluded.superseded_operations, superseded_tokens = superseded_tokens + excluded.superseded_tokens, superseded_nano_usd = superseded_nano_usd + excluded.superseded_nano_usd; END;
CREATE TRIGGER entry_replaced AFTER UPDATE OF usage_state ON entry
        BEGIN INSERT INTO tally (service, activity, usage_state, operations, nano_usd, input, cache_read, cache_write, output, reasoning, plugin, superseded_operations, superseded_tokens, superseded_nano_usd)
        VALUES (coalesce(NEW.service, ''), NEW.activity, NEW.usage_state, 0, coalesce(NEW.nano_usd, 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), max(0, coalesce(NEW.input_tokens, 0) - coalesce(NEW.cache_read, 0) - (coalesce(NEW.cache_write, 0) + coalesce(NEW.cache_write_1h, 0))), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), coalesce(NEW.cache_read, 0), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), coalesce(NEW.cache_write, 0) + coalesce(NEW.cache_write_1h, 0), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), max(0, coalesce(NEW.output_tokens, 0) - coalesce(NEW.reasoning, 0)), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NULL), coalesce(NEW.reasoning, 0), 0), iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS NOT NULL), coalesce(NEW.input_tokens, 0) + coalesce(NEW.output_tokens, 0), 0), iif(NEW.superseded AND OLD.superseded, 0, 0), iif(NEW.superseded AND OLD.superseded, iif(NEW.usage_state <> 'unknown', coalesce(NEW.input_tokens, 0) + coalesce(NEW.output_tokens, 0), 0), 0), iif(NEW.superseded AND OLD.superseded, coalesce(NEW.nano_usd, 0), 0))
        ON CONFLICT (service, activity, usage_state) DO UPDATE SET operations = operations + excluded.operations, nano_usd = nano_usd + excluded.nano_usd, input = input + excluded.input, cache_read = cache_read + excluded.cache_read, cache_write = cache_write + excluded.cache_write, output = output + excluded.output, reasoning = reasoning + excluded.reasoning, plugin = plugin + excluded.plugin, superseded_operations = superseded_operations + excluded.superseded_operations, superseded_tokens = superseded_tokens + excluded.superseded_tokens, superseded_nano_usd = superseded_nano_usd + excluded.superseded_nano_usd; END;
CREATE TRIGGER entry_superseded AFTER UPDATE OF superseded ON entry WHEN NEW.superseded AND NOT OLD.superseded
        BEGIN INSERT INTO tally (service, activity, usage_state, operations, nano_usd, input, cache_read, cache_write, output, reasoning, plugin, superseded_operations, superseded_tokens, superseded_nano_usd)
        VALUES (coalesce(NEW.service, ''), NEW.activity, NEW.usage_state, 0, 0, 0, 0, 0, 0, 0, 0, iif(1, 1, 0), iif(1, iif(NEW.usage_state <> 'unknown', coalesce(NEW.input_tokens, 0) + coalesce(NEW.output_tokens, 0), 0), 0), iif(1, coalesce(NEW.nano_usd, 0), 0))
        ON CONFLICT (service, activity, usage_state) DO UPDATE SET operations = operations + excluded.operations, nano_usd = nano_usd + excluded.nano_usd, input = input + excluded.input, cache_read = cache_read + excluded.cache_read, cache_write = cache_write + excluded.cache_write, output = output + excluded.output, reasoning = reasoning + excluded.reasoning, plugin = plugin + excluded.plugin, superseded_operations = superseded_operations + excluded.superseded_operations, superseded_tokens = superseded_tokens + excluded.superseded_tokens, superseded_nano_usd = superseded_nano_usd + excluded.superseded_nano_usd; END;
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit records are never deleted'); END;
COMMIT;
PRAGMA application_id = 1397771335;
PRAGMA user_version = 2;
