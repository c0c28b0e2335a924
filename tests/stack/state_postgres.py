"""The canonical state of a PostgreSQL server: for the cluster and for each
database a dictionary from the name of a thing to all that a dump restores of it.
"""
import json

import stack

USER_SCHEMA = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def acl(column, kind, owner):
    """SQL for an access list, defaults written out and sorted, so that a list
    equal in meaning is equal in text."""
    return (f"(SELECT array_agg(a::text ORDER BY a::text COLLATE \"C\")"
            f" FROM unnest(coalesce({column}, acldefault('{kind}', {owner}))) a)")


def role(oid):
    return f"{oid}::regrole::text"


# Each query gives two columns: the thing's name, and its value as JSON can hold it.
CLUSTER_QUERIES = [
    "SELECT 'role ' || rolname, to_jsonb(r) - 'oid' FROM pg_authid r WHERE rolname !~ '^pg_'",
    """SELECT 'member ' || m.member::regrole || ' of ' || m.roleid::regrole,
        to_jsonb(m.admin_option) FROM pg_auth_members m WHERE m.roleid >= 16384""",
    """SELECT 'setting of ' || coalesce(d.datname, '*') || ' ' || coalesce(r.rolname, '*'),
        to_jsonb(s.setconfig) FROM pg_db_role_setting s
        LEFT JOIN pg_database d ON d.oid = s.setdatabase
        LEFT JOIN pg_roles r ON r.oid = s.setrole""",
    f"""SELECT 'database ' || datname, jsonb_build_array({role('datdba')}, datcollate, datctype,
        pg_encoding_to_char(encoding), datconnlimit, datallowconn, datistemplate,
        {acl('datacl', 'd', 'datdba')}, shobj_description(d.oid, 'pg_database'))
        FROM pg_database d""",
]

DATABASE_QUERIES = [
    f"""SELECT 'schema ' || nspname, jsonb_build_array({role('nspowner')},
        {acl('nspacl', 'n', 'nspowner')}) FROM pg_namespace n WHERE {USER_SCHEMA}""",
    f"""SELECT 'relation ' || c.oid::regclass, jsonb_build_array(relkind::text, {role('relowner')},
        relpersistence::text, relrowsecurity, reloptions, pg_get_expr(relpartbound, c.oid),
        pg_get_partkeydef(c.oid), obj_description(c.oid, 'pg_class'),
        CASE relkind WHEN 'S' THEN {acl('relacl', 's', 'relowner')}
            ELSE {acl('relacl', 'r', 'relowner')} END,
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE {USER_SCHEMA} AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')""",
    f"""SELECT 'column ' || c.oid::regclass || '.' || attname, jsonb_build_array(
        rank() OVER (PARTITION BY c.oid ORDER BY attnum), format_type(atttypid, atttypmod),
        attnotnull, attidentity::text, attgenerated::text, attcollation::regcollation::text,
        pg_get_expr(adbin, adrelid),
        (SELECT array_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(attacl) a))
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        JOIN pg_namespace n ON n.oid = relnamespace
        LEFT JOIN pg_attrdef d ON adrelid = c.oid AND adnum = attnum
        WHERE {USER_SCHEMA} AND relkind IN ('r', 'p', 'v', 'm', 'f')
        AND attnum > 0 AND NOT attisdropped""",
    f"""SELECT 'constraint ' || coalesce(nullif(conrelid, 0)::regclass::text,
            contypid::regtype::text) || '.' || conname, to_jsonb(pg_get_constraintdef(c.oid))
        FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace WHERE {USER_SCHEMA}""",
    f"""SELECT 'index ' || indexrelid::regclass, to_jsonb(pg_get_indexdef(indexrelid))
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        JOIN pg_namespace n ON n.oid = relnamespace WHERE {USER_SCHEMA}""",
    """SELECT 'trigger ' || tgrelid::regclass || '.' || tgname,
        jsonb_build_array(tgenabled::text, pg_get_triggerdef(oid))
        FROM pg_trigger WHERE NOT tgisinternal""",
    f"""SELECT 'rule ' || ev_class::regclass || '.' || rulename, to_jsonb(pg_get_ruledef(r.oid))
        FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
        JOIN pg_namespace n ON n.oid = relnamespace WHERE {USER_SCHEMA}""",
    """SELECT 'policy ' || schemaname || '.' || tablename || '.' || policyname, to_jsonb(p)
        FROM pg_policies p""",
    f"""SELECT 'function ' || p.oid::regprocedure, jsonb_build_array({role('proowner')},
        {acl('proacl', 'f', 'proowner')}, obj_description(p.oid, 'pg_proc'),
        CASE WHEN prokind = 'a' THEN (SELECT to_jsonb(a) - 'aggfnoid' FROM pg_aggregate a
            WHERE aggfnoid = p.oid) ELSE to_jsonb(pg_get_functiondef(p.oid)) END)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE {USER_SCHEMA}""",
    f"""SELECT 'type ' || t.oid::regtype, jsonb_build_array({role('typowner')}, typtype::text,
        {acl('typacl', 'T', 'typowner')}, format_type(typbasetype, typtypmod), typnotnull,
        typdefault, (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum
            WHERE enumtypid = t.oid))
        FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
        WHERE {USER_SCHEMA} AND typtype IN ('e', 'd', 'r')""",
    "SELECT 'sequence ' || schemaname || '.' || sequencename, to_jsonb(s) FROM pg_sequences s",
    f"""SELECT 'large object ' || m.oid, jsonb_build_array({role('lomowner')},
        {acl('lomacl', 'L', 'lomowner')}, md5(lo_get(m.oid))) FROM pg_largeobject_metadata m""",
    f"""SELECT 'default privileges ' || {role('defaclrole')} || ' ' || defaclnamespace::regnamespace
        || ' ' || defaclobjtype::text, to_jsonb((SELECT array_agg(a::text ORDER BY a::text
        COLLATE "C") FROM unnest(defaclacl) a)) FROM pg_default_acl""",
    "SELECT 'extension ' || extname, to_jsonb(extversion) FROM pg_extension",
]

# One query per table: the number of its rows and a digest of them in any order.
ROWS_QUERIES = f"""
SELECT format('SELECT jsonb_build_array(%L, jsonb_build_array(count(*),
        md5(string_agg(h, '''' ORDER BY h)))) FROM (SELECT md5(t::text) COLLATE "C" AS h FROM %s t) s',
    'rows of ' || c.oid::regclass, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE {USER_SCHEMA} AND relkind IN ('r', 'm') \\gexec
"""


def _read(item, database, queries, script=""):
    wrapped = [f"SELECT jsonb_build_array(name, value) FROM ({query}) q(name, value);"
               for query in queries]
    output = stack.psql(item, database,
                        "SET search_path = '';\n" + "\n".join(wrapped) + script)
    return dict(json.loads(line) for line in output.splitlines())


def state(item):
    """Section name to things, for the container of a PostgreSQL server."""
    sections = {f"{item.service}: roles and databases": _read(item, "postgres", CLUSTER_QUERIES)}
    names = stack.psql(item, "postgres",
                       "SELECT to_json(datname) FROM pg_database WHERE datallowconn")
    for name in map(json.loads, names.splitlines()):
        sections[f"{item.service}: {name}"] = _read(item, name, DATABASE_QUERIES, ROWS_QUERIES)
    return sections
