# One line a unit test: UNIT_NAME = the sources it is linked with (beside tests/unit/NAME.c) and, where needed,
# LIBS_NAME = its libraries. `make check-unit` builds and runs them all with cmocka.
UNIT_test_messages = common/messages.c common/ipc.c common/io.c
UNIT_test_options = supervisor/options.c common/io.c
UNIT_test_plan = supervisor/plan.c supervisor/backup_name.c
UNIT_test_credentials = workers/docker_agent/credentials.c workers/docker_agent/answer_rows.c
UNIT_test_sql_lexer = workers/unpacker/sql_lexer.c workers/unpacker/sql_postgres.c workers/unpacker/sql_postgres_statements.c workers/unpacker/sql_mariadb.c
