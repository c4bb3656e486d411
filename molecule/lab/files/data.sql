CREATE TABLESPACE fast LOCATION '/srv/tablespaces/fast';

CREATE TABLE events TABLESPACE fast AS
  SELECT n AS id, md5(n::text) AS digest, now() - n * interval '1 second' AS seen
  FROM generate_series(1, 200000) AS n;
ALTER TABLE events ADD PRIMARY KEY (id) USING INDEX TABLESPACE fast;

CREATE DATABASE odds;
\connect odds
CREATE TABLE "odd ""name"" of a table" (id int PRIMARY KEY, "a column" text, raw bytea, at timestamptz);
INSERT INTO "odd ""name"" of a table" VALUES
  (1, 'Grüße, 世界 🐘', '\x00ff10', '2000-01-01 00:00:00+00'),
  (2, NULL, NULL, NULL),
  (3, '', '\x', 'infinity'),
  (4, E'tab\tnewline\nbackslash\\ quote\' done', decode(repeat('deadbeef', 4000), 'hex'), '-infinity');
CREATE TABLE elsewhere (id int PRIMARY KEY USING INDEX TABLESPACE fast, note text) TABLESPACE fast;
INSERT INTO elsewhere VALUES (1, 'kept in the tablespace'), (2, 'ünïcode');
CREATE UNLOGGED TABLE scratch AS SELECT generate_series(1, 1000) AS id;
