-- The demo stack's PostgreSQL data; run in `postgres`, @SEED@ and @ROWS@ are
-- replaced by fill.py. Databases and roles that exist already are dropped first.
SELECT setseed(@SEED@ / 1000000.0) \g /dev/null

SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', d) FROM unnest(ARRAY[
	'shop', 'with space', 'dash-ed', 'quo"te''d', 'Größe', 'UPPER', '$dollar', 'back\slash']) d \gexec
SELECT format('DROP ROLE IF EXISTS %I', r)
FROM unnest(ARRAY['reader', 'writer-role', 'odd "role" ü', 'group']) r \gexec

CREATE ROLE "group" NOLOGIN;
CREATE ROLE reader LOGIN PASSWORD 'reader''s \password';
CREATE ROLE "writer-role" LOGIN PASSWORD 'w' CONNECTION LIMIT 7 VALID UNTIL '2040-01-01 00:00:00+00';
CREATE ROLE "odd ""role"" ü" NOLOGIN CREATEDB;
GRANT "group" TO reader WITH ADMIN OPTION;
GRANT "group" TO "writer-role";
ALTER ROLE reader SET work_mem = '8MB';

CREATE DATABASE shop;
CREATE DATABASE "with space" OWNER "writer-role";
CREATE DATABASE "dash-ed";
CREATE DATABASE "quo""te'd";
CREATE DATABASE "Größe";
CREATE DATABASE "UPPER" CONNECTION LIMIT 5;
CREATE DATABASE "$dollar";
CREATE DATABASE "back\slash";
ALTER DATABASE "with space" SET search_path = extra, public;
GRANT CONNECT ON DATABASE shop TO "group";
REVOKE ALL ON DATABASE "dash-ed" FROM PUBLIC;
COMMENT ON DATABASE shop IS 'the shop''s data';

\connect shop
SELECT setseed(@SEED@ / 1000000.0) \g /dev/null
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy; DROP TABLE orders');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE SCHEMA "odd schema" AUTHORIZATION "writer-role";
CREATE TABLE customers (
	id serial PRIMARY KEY, name text NOT NULL UNIQUE, feeling mood DEFAULT 'ok', picture bytea);
CREATE TABLE orders (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer integer REFERENCES customers,
	amount numeric(12,2), quantity positive, ordered timestamptz, note text,
	doubled numeric GENERATED ALWAYS AS (amount * 2) STORED);
CREATE TABLE without_key (day date, reading double precision, tags text[], doc jsonb);
CREATE TABLE empty_table (a integer);
CREATE TABLE no_columns ();
CREATE TABLE "odd schema"."Odd ""Table""" ("select" text, "back\slash" text);
CREATE TABLE measured (day date NOT NULL, value integer) PARTITION BY RANGE (day);
CREATE TABLE measured_2023 PARTITION OF measured FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE measured_rest PARTITION OF measured DEFAULT;

INSERT INTO customers (name, picture)
	SELECT 'customer ' || n, decode(md5(random()::text), 'hex') FROM generate_series(1, 100) n;
INSERT INTO orders (customer, amount, quantity, ordered, note)
	SELECT 1 + n % 100, round((random() * 1000)::numeric, 2), 1 + n % 9,
		'2023-01-01 00:00:00+00'::timestamptz + n * interval '61 seconds 1 microsecond',
		md5(random()::text)
	FROM generate_series(1, @ROWS@) n;
INSERT INTO without_key SELECT '2023-01-01'::date + n % 500, random(),
		ARRAY['a,b', 'NULL', '{', n::text], jsonb_build_object('n', n, 'text', E'line\nbreak')
	FROM generate_series(1, @ROWS@) n;
INSERT INTO without_key VALUES (NULL, 'NaN', '{}', NULL), (NULL, 'NaN', '{}', NULL), ('infinity', '-Infinity', NULL, '1');
INSERT INTO measured SELECT '2022-07-01'::date + n, n FROM generate_series(1, 900) n;
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO "odd schema"."Odd ""Table""" VALUES
	(E'\\.', E'\\N'), (E'\\connect postgres', E'\\! touch /tmp/pwned'), (E'a\tb\nc\r\\', ''),
	('-- PostgreSQL database cluster dump complete', NULL), (E'\x01\x1f', '$$; $tag$');

CREATE SEQUENCE invoice_numbers START 1000 INCREMENT 7 CACHE 1 OWNED BY NONE;
SELECT setval('invoice_numbers', 4711, true) \g /dev/null
CREATE INDEX orders_by_customer ON orders (customer, ordered DESC) WHERE amount > 10;
CREATE VIEW big_orders AS SELECT id, customer, amount FROM orders WHERE amount > 500;
CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(amount) AS total FROM orders GROUP BY customer;
CREATE FUNCTION total_of(integer) RETURNS numeric LANGUAGE sql STABLE SECURITY DEFINER
	AS $body$ SELECT sum(amount) FROM orders WHERE customer = $1; -- a ; in a body $body$;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql
	AS $$ BEGIN NEW.note := coalesce(NEW.note, 'it''s \new'); RETURN NEW; END $$;
CREATE PROCEDURE tidy() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM empty_table; END $$;
CREATE AGGREGATE product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE TRIGGER stamp_orders BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE RULE keep_empty AS ON INSERT TO empty_table DO INSTEAD NOTHING;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON customers FOR SELECT TO reader USING (name = current_user);
GRANT SELECT ON orders, big_orders TO reader;
GRANT SELECT (id, name), UPDATE (name) ON customers TO "writer-role" WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE invoice_numbers TO "group";
GRANT EXECUTE ON FUNCTION total_of(integer) TO reader;
REVOKE EXECUTE ON FUNCTION total_of(integer) FROM PUBLIC;
GRANT USAGE ON SCHEMA "odd schema" TO reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
COMMENT ON TABLE orders IS E'a comment with a\nnew line';
SELECT lo_from_bytea(n, decode(repeat(md5('@SEED@' || n::text), 1000 * (n - 70000)), 'hex'))
	FROM generate_series(70001, 70003) n \g /dev/null
ALTER LARGE OBJECT 70002 OWNER TO "writer-role";
GRANT SELECT ON LARGE OBJECT 70001 TO reader;

\connect "with space"
CREATE SCHEMA extra;
CREATE TABLE extra.things (id integer PRIMARY KEY, name text);
INSERT INTO extra.things SELECT n, 'thing ' || n FROM generate_series(1, 50) n;
\connect "dash-ed"
CREATE TABLE t (a text);
INSERT INTO t VALUES ('dash');
\connect "quo""te'd"
CREATE TABLE t (a text);
INSERT INTO t VALUES ('quoted');
\connect "Größe"
CREATE TABLE "Maße" ("Länge" integer, "name" text);
INSERT INTO "Maße" VALUES (1, 'Fuß'), (2, '日本');
