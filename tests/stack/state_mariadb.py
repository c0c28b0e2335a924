"""The canonical state of a MariaDB server: for its privileges and for each
database a dictionary from the name of a thing to all that a dump restores of it.
"""
import json

import stack

SYSTEM_DATABASES = ("information_schema", "performance_schema", "mysql", "sys")
# Table to the number of columns at its start that name what a row is about.
PRIVILEGE_TABLES = {"global_priv": 2, "db": 3, "tables_priv": 4, "columns_priv": 5,
                    "procs_priv": 5, "proxies_priv": 4, "roles_mapping": 3}
# Times at which a thing was made say nothing about what it is.
LEFT_OUT_COLUMNS = {"Timestamp", "created", "modified", "last_executed"}


def identifier(name):
    return "`" + name.replace("`", "``") + "`"


def literal(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _json_rows(item, sql):
    """Rows of queries that give one JSON value each."""
    return [json.loads(line) for line in stack.mariadb(item, sql, raw=True).split("\n") if line]


def _columns(item, database):
    """Table name to its columns' names, for tables that hold rows."""
    rows = _json_rows(item, f"""SELECT JSON_ARRAY(TABLE_NAME, COLUMN_NAME)
        FROM information_schema.COLUMNS JOIN information_schema.TABLES USING (TABLE_SCHEMA, TABLE_NAME)
        WHERE TABLE_SCHEMA = {literal(database)} AND TABLE_TYPE IN ('BASE TABLE', 'SEQUENCE')
        ORDER BY TABLE_NAME, ORDINAL_POSITION""")
    tables = {}
    for table, column in rows:
        tables.setdefault(table, []).append(column)
    return tables


def _digest_query(database, table, columns):
    """The number of rows and two sums over their hashes: equal in any order."""
    cells = ", ".join(f"IFNULL(HEX(CAST({identifier(c)} AS BINARY)), 'NULL')"
                      for c in columns if c not in LEFT_OUT_COLUMNS)
    half = "SUM(CAST(CONV({}(h, 15), 16, 10) AS DECIMAL(65)))"
    return (f"SELECT JSON_ARRAY({literal('rows of ' + table)}, COUNT(*), {half.format('LEFT')},"
            f" {half.format('RIGHT')}) FROM (SELECT MD5(CONCAT_WS('|', {cells})) AS h"
            f" FROM {identifier(database)}.{identifier(table)}) q;")


def _digests(item, database, tables):
    queries = [_digest_query(database, table, columns) for table, columns in tables.items()]
    return {name: rest for name, *rest in _json_rows(item, "\n".join(queries))} if queries else {}


def _definitions(item, database, tables):
    """SHOW CREATE of every table; the client's escapes keep each on one line."""
    queries = "".join(f"SHOW CREATE TABLE {identifier(database)}.{identifier(table)};\n"
                      for table in tables)
    lines = stack.mariadb(item, queries).splitlines() if queries else []
    return {f"table {table}": line for table, line in zip(tables, lines)}


def _code_queries(database):
    schema = literal(database)
    return f"""
SELECT JSON_ARRAY(CONCAT('view ', TABLE_NAME), VIEW_DEFINITION, DEFINER, SECURITY_TYPE, CHECK_OPTION)
    FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {schema};
SELECT JSON_ARRAY(CONCAT('trigger ', TRIGGER_NAME), ACTION_STATEMENT, DEFINER, SQL_MODE,
    EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION)
    FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {schema};
SELECT JSON_ARRAY(CONCAT('event ', EVENT_NAME), EVENT_DEFINITION, DEFINER, STATUS, SQL_MODE,
    EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD, STARTS, ENDS, ON_COMPLETION)
    FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema};
SELECT JSON_ARRAY(CONCAT(LOWER(type), ' ', name), CONVERT(param_list USING utf8mb4),
    CONVERT(returns USING utf8mb4), CONVERT(body_utf8 USING utf8mb4), definer, sql_mode,
    is_deterministic, security_type, sql_data_access, comment)
    FROM mysql.proc WHERE db = {schema};
SELECT JSON_ARRAY('database', DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME)
    FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {schema};
"""


def _database(item, name):
    tables = _columns(item, name)
    code = {thing: rest for thing, *rest in _json_rows(item, _code_queries(name))}
    return {**code, **_definitions(item, name, tables), **_digests(item, name, tables)}


def _privileges(item):
    """Every row of the privilege tables."""
    columns = _columns(item, "mysql")
    found = {}
    for table, keys in PRIVILEGE_TABLES.items():
        cells = ", ".join(identifier(c) for c in columns[table] if c not in LEFT_OUT_COLUMNS)
        for row in _json_rows(item, f"SELECT JSON_ARRAY({cells}) FROM mysql.{table}"):
            found[f"{table} {row[:keys]}"] = row[keys:]
    return found


def state(item):
    """Section name to things, for the container of a MariaDB server."""
    sections = {f"{item.service}: users and privileges": _privileges(item)}
    names = _json_rows(item, "SELECT JSON_QUOTE(SCHEMA_NAME) FROM information_schema.SCHEMATA")
    for name in sorted(names):
        if name not in SYSTEM_DATABASES:
            sections[f"{item.service}: {name}"] = _database(item, name)
    return sections
