-- A ledger as version 1 wrote it: never edit this file; it stands for the files people have.
CREATE TABLE account (
    id TEXT PRIMARY KEY, budget TEXT NOT NULL, scope TEXT NOT NULL, unit TEXT NOT NULL, "limit" INTEGER NOT NULL, ends REAL,
    blocking INTEGER NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE lease (entry TEXT PRIMARY KEY, expires REAL NOT NULL, holds TEXT NOT NULL, draft TEXT NOT NULL) WITHOUT ROWID;
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
CREATE INDEX entry_time ON entry (time);
CREATE INDEX entry_execution ON entry (execution, step) WHERE execution IS NOT NULL;
CREATE INDEX entry_trace ON entry (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX entry_response ON entry (response_id) WHERE response_id IS NOT NULL;
CREATE TABLE attempt (
    execution TEXT NOT NULL, step TEXT NOT NULL, number INTEGER NOT NULL, ok INTEGER NOT NULL,
    PRIMARY KEY (execution, step, number)) WITHOUT ROWID;
CREATE TABLE execution (
    id TEXT NOT NULL UNIQUE, workflow TEXT NOT NULL, started REAL NOT NULL, ended REAL NOT NULL, status TEXT NOT NULL,
    keys TEXT NOT NULL, totals TEXT NOT NULL, error TEXT);
CREATE INDEX execution_started ON execution (started);
CREATE TABLE span (
    trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT, name TEXT NOT NULL, kind TEXT NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, status TEXT NOT NULL, status_message TEXT, scope TEXT NOT NULL,
    attributes TEXT NOT NULL, events TEXT NOT NULL, resource TEXT NOT NULL, links TEXT NOT NULL,
    UNIQUE (trace_id, span_id));
INSERT INTO account VALUES ('TEAM', 'TEAM', 'customer=acme', 'tokens', 100, 1750003600.0, 1, 40, 30);
INSERT INTO lease VALUES ('under way', 1749999999.0, '[["TEAM",30]]', '["under way",1750000000.0,"llm","openai","chat","gpt-5",null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,30,0,null,null,null,null,null,"estimated",100,"exact",null,null,null,null,null,null,null,null,0]');
INSERT INTO entry VALUES ('done', 1750000000.0, 'llm', 'openai', 'chat', 'gpt-5', NULL, 'r1', NULL, 't1', NULL, NULL, 'w', 'e', 's', 1, 'acme',
    NULL, NULL, NULL, NULL, '{"tenant":"t"}', 40, 0, NULL, NULL, NULL, NULL, '{"clamped":true}', 'exact', 100, 'exact', 'genai-prices', '0.2.3',
    'openai/gpt-5', '2026-01-01', 1.5, NULL, 'stop', NULL, 0, NULL, 0);
INSERT INTO attempt VALUES ('e', 's', 1, 1);
INSERT INTO execution VALUES ('e', 'w', 1750000000.0, 1750000001.0, 'completed', '{}', '{"llm":[1,40,0,100,0,0,0,1.5]}', NULL);
INSERT INTO span VALUES ('t1', 's1', NULL, 'chat gpt-5', 'client', 1, 2, 'ok', NULL, '', '{}', '[]', '{}', '[]');
PRAGMA application_id = 1397771335;
PRAGMA user_version = 1;
