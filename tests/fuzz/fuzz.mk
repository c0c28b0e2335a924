# One line a fuzz target: FUZZ_NAME = the sources it is linked with, beside tests/fuzz/NAME.c.
# Seeds are in tests/fuzz/seeds/NAME without its fuzz_.
FUZZ_fuzz_frames = common/messages.c
FUZZ_fuzz_options = supervisor/options.c supervisor/profile.c common/io.c
FUZZ_fuzz_entry_policy = workers/unpacker/entry_policy.c workers/unpacker/name_set.c workers/unpacker/failure.c
FUZZ_fuzz_sql_lexer = workers/unpacker/sql_lexer.c workers/unpacker/sql_postgres.c workers/unpacker/sql_postgres_statements.c workers/unpacker/sql_mariadb.c
FUZZ_fuzz_s3_list = workers/fetcher/s3_list.c workers/fetcher/s3_error.c workers/fetcher/s3_url.c workers/fetcher/s3_time.c workers/fetcher/xml_reader.c
FUZZLIBS_fuzz_s3_list = -lexpat -lcrypto -lcurl
FUZZLIBS_fuzz_entry_policy = -lcrypto
FUZZ_fuzz_exec_stream = workers/docker_agent/demux.c workers/docker_agent/single_file.c
FUZZ_fuzz_age_header = workers/unpacker/age_header.c
