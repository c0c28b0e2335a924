"""
The controls that are taken out, one at a time, and the test that must notice. As data: the file, text that stands in it
once, what comes in its place, and the test, `unit:PROGRAM:TEST` or `e2e:FILE::TEST` below tests/e2e.
"""
import collections

Control = collections.namedtuple("Control", "name file text replacement test")

UNPACKER = "e2e:test_unpacker.py::"
HOSTILE = UNPACKER + "test_hostile_archive_is_refused_by_name"
PACKED = UNPACKER + "test_what_is_no_sound_zstd_is_named"
FORMATS = "e2e:test_formats.py::"
FETCHER = "e2e:test_fetcher.py::"
STAGER = "e2e:test_stager.py::"
AGENT = "e2e:test_docker_agent.py::"

READING = [
    Control("end of the download before its announced length", "workers/unpacker/source.c",
            "    if (got == 0) {\n        return fail_integrity(",
            "    if (got == 0) {\n        source->size = source->bytes;\n        return 0;\n    }\n"
            "    if (got < 0) {\n        return fail_integrity(", UNPACKER + "test_wrong_sha256_and_wrong_size_are_refused"),
    Control("frame that is cut at the archive's end", "workers/unpacker/zstd_reader.c",
            "return reader->in_frame && input->ended && input_left(input) == 0 && !moved ? truncated(reader, failure) : 1;",
            "reader->in_frame = reader->in_frame && (!input->ended || moved);\n"
            "    return *size == SIZE_MAX ? truncated(reader, failure) : 1;",
            "unit:test_zstd_reader:refuses_a_cut_second_frame"),
    Control("bytes behind the last frame", "workers/unpacker/zstd_reader.c",
            "        return refuse_magic(input, failure);",
            "        return reader->frames != 0 ? 0 : refuse_magic(input, failure);", PACKED + "[surplus]"),
    Control("gzip member that is cut at the archive's end", "workers/unpacker/gzip_reader.c",
            "    if (!moved && input->ended) {", "    if (!moved && input->ended) {\n        reader->in_member = false;\n    }\n"
            "    if (*size == SIZE_MAX) {", FORMATS + "test_nothing_cut_passes[gzip]"),
    Control("bytes behind the last gzip member", "workers/unpacker/gzip_reader.c",
            "    if (have < 2 || bytes[0]", "    if (reader->members != 0) {\n        return 0;\n    }\n    if (have < 2 || bytes[0]",
            FORMATS + "test_what_is_no_sound_archive_of_its_kind_is_named[gzip-surplus]"),
    Control("xz stream that is cut at the archive's end", "workers/unpacker/xz_reader.c",
            "bool waits = result == LZMA_BUF_ERROR && !input->ended;",
            "bool waits = result == LZMA_BUF_ERROR;\n    reader->ended = reader->ended || (waits && input->ended);",
            FORMATS + "test_nothing_cut_passes[xz]"),
    Control("xz without checks", "workers/unpacker/xz_reader.c", "LZMA_CONCATENATED | LZMA_TELL_NO_CHECK |",
            "LZMA_CONCATENATED |", FORMATS + "test_what_is_no_sound_archive_of_its_kind_is_named[xz-no-check]"),
    Control("largest window", "workers/unpacker/zstd_reader.c", "header->windowSize > reader->window_max",
            "header->windowSize > UINT64_MAX - 1", "unit:test_zstd_reader:refuses_larger_windows_than_allowed"),
    Control("BACKUP_SHA256", "workers/unpacker/unpack.c", "strcasecmp(unpack->sha256.data, digest) != 0",
            "strcasecmp(unpack->sha256.data, digest) == 7777", UNPACKER + "test_wrong_sha256_and_wrong_size_are_refused"),
    Control("zstd's checksum", "workers/unpacker/zstd_reader.c",
            "    if (reader->zstd == NULL ||",
            "    if (reader->zstd != NULL) {\n        ZSTD_DCtx_setParameter(reader->zstd, ZSTD_d_forceIgnoreChecksum, 1);\n    }\n"
            "    if (reader->zstd == NULL ||", "e2e:test_points.py::test_nothing_cut_or_flipped_passes[plain-fastest]"),
    Control("bomb: bytes that it unpacks to", "workers/unpacker/unpack.c", "bytes_out > unpacker->max_bytes",
            "bytes_out > UINT64_MAX - 1", PACKED + "[bomb]"),
    Control("two zero blocks at the tar's end", "workers/unpacker/untar.c", "consumed - end < 2 * BLOCK",
            "consumed - end < BLOCK", HOSTILE + "[one-zero-block]"),
    Control("bytes behind the tar's end", "workers/unpacker/untar.c", "if (!all_zero(rest, size)) {",
            "if (size == SIZE_MAX && !all_zero(rest, size)) {", HOSTILE + "[second-archive]"),
    Control("whole blocks", "workers/unpacker/untar.c", "% BLOCK == 0", "% 1 == 0", HOSTILE + "[half-a-block]"),
    Control("order of a sparse map", "workers/unpacker/untar.c", "*offset < untar->position || ", "*offset < 0 || ",
            HOSTILE + "[sparse-overlapping]"),
    Control("contents as long as announced", "workers/unpacker/untar.c",
            "return untar->stored == stored_size(untar->entry)", "return untar->stored <= stored_size(untar->entry)",
            HOSTILE + "[realsize-larger-than-data]"),
]

POLICY = "workers/unpacker/entry_policy.c"
ENTRIES = [
    Control("'..' in names", POLICY, "component[1] == '.' && size == 2", "component[1] == '.' && size == 200",
            HOSTILE + "[dotdot]"),
    Control("places where a backup has something", POLICY,
            "    if (strcmp(area, \"volumes\") != 0) {\n        return -1;",
            "    if (strcmp(area, \"volumes\") != 0) {\n        return 0;", HOSTILE + "[unknown-folder]"),
    Control("a volume's root is a directory", POLICY, "ruling->inside[0] == '\\0' && !directory",
            "ruling->inside[0] == '\\0' && !directory && facts->uid < 0", HOSTILE + "[volume-as-symlink]"),
    Control("our own folder's name", POLICY, '#define RESERVED_PREFIX ".restore-"',
            '#define RESERVED_PREFIX ".reserved-for-nobody-"', HOSTILE + "[reserved-folder]"),
    Control("hard links stay in their volume", POLICY,
            "strcmp(target.service, ruling->service) != 0 || strcmp(target.name, ruling->name) != 0", "false",
            HOSTILE + "[hard-link-to-other-volume]"),
    Control("hard links lead to earlier files", POLICY, "return kind == NAME_LEAF ? NULL :",
            "return kind != NAME_DIRECTORY ? NULL :", HOSTILE + "[hard-link-to-nothing]"),
    Control("nothing below a symbolic link", POLICY, "if (kind == NAME_LEAF || kind == NAME_SKIPPED) {",
            "if (kind == NAME_SKIPPED) {", HOSTILE + "[below-symlink]"),
    Control("a name comes once", POLICY, "if (kind != NAME_ABSENT) {", "if (kind == NAME_SKIPPED) {",
            HOSTILE + "[file-then-symlink]"),
    Control("owners are ids", POLICY, "facts->uid >= UINT32_MAX ||", "facts->uid > UINT32_MAX ||",
            HOSTILE + "[owner-minus-one]"),
    Control("cap on entries", POLICY, "policy->entries >= policy->max_entries", "policy->entries >= UINT64_MAX - 1",
            UNPACKER + "test_caps_on_entries_and_bytes"),
    Control("cap on bytes", POLICY, "facts->size > policy->max_bytes - policy->bytes", "facts->size > UINT64_MAX - 1",
            HOSTILE + "[sparse-1-tb]"),
    Control("device nodes are left out", POLICY, "ruling->skip = !policy->restore_devices;",
            "ruling->skip = !policy->restore_devices && facts->uid < 0;",
            UNPACKER + "test_devices_sockets_and_links_to_them_are_left_out_by_name"),
    Control("privileged attributes are left out", POLICY, 'return strncmp(name, "user.", strlen("user.")) == 0 ||',
            'return name[0] != \'\\0\' || strncmp(name, "user.", strlen("user.")) == 0 ||',
            UNPACKER + "test_capabilities_are_dropped_with_one_warning_a_volume"),
]

DUMPS = [
    Control("psql's own commands", "workers/unpacker/sql_postgres_statements.c",
            '    return sql_fail(lexer, at, "the psql command `%.40s` has no place in a dump: use a dump of pg_dumpall", line);',
            "    return at;", "unit:test_sql_lexer:postgres_refuses_what_psql_would_obey"),
    Control("\\connect names a database alone", "workers/unpacker/sql_postgres_statements.c",
            "if (!connect_is_sound(argument)) {", "if (!connect_is_sound(argument) && lexer->failed) {",
            "unit:test_sql_lexer:postgres_refuses_what_psql_would_obey"),
    Control("mariadb's `system`", "workers/unpacker/sql_mariadb.c", '"system",', '"systematics",',
            "unit:test_sql_lexer:mariadb_refuses_what_a_client_would_obey"),
    Control("the end of COPY's rows is a line of its own", "workers/unpacker/sql_postgres.c",
            "if (end - at >= 2 && at[1] == '.') {", "if (end - at >= 2 && at[1] == '.' && lexer->failed) {",
            "unit:test_sql_lexer:postgres_refuses_what_psql_would_obey"),
    Control("a dump's trailer", "workers/unpacker/sql_mariadb.c", "return lexer->complete ? NULL :",
            "return lexer->complete || !lexer->failed ? NULL :", "unit:test_sql_lexer:mariadb_wants_its_trailer"),
]

FRAMES = [
    Control("a frame's length", "common/messages.c", "if (header->length > rule->payload_max) {",
            "if (header->length > DATA_FRAME_MAX * 1000ULL) {",
            "unit:test_messages:refuses_headers_of_other_versions_types_and_lengths"),
    Control("bytes left over", "common/messages.c", 'return at == length ? NULL : "bytes left over";',
            'return at <= length ? NULL : "bytes left over";', "unit:test_messages:refuses_every_cut_and_every_surplus"),
    Control("a field's end within its payload", "common/messages.c", "if (sizeof(uint64_t) > length - *at) {",
            "if (sizeof(uint64_t) > 8 * (length - *at)) {", "unit:test_messages:reads_nothing_behind_a_cut_payload"),
    Control("bounds of a text", "common/messages.c", "    if (size > rule->limit) {",
            "    if (size > rule->limit * 1000) {", "unit:test_messages:refuses_decoded_fields_beyond_their_bounds"),
    Control("bounds of a number", "common/messages.c", "        if (value > rule->limit) {\n            return \"number",
            "        if (value > rule->limit && value == 0) {\n            return \"number",
            "unit:test_messages:refuses_decoded_fields_beyond_their_bounds"),
    Control("NUL inside a text", "common/messages.c", "(data[size] != 0 || memchr(data, 0, size) != NULL)", "data[size] != 0",
            "unit:test_messages:refuses_text_with_nul_and_beyond_bounds"),
    Control("the state in which a message may come", "common/ipc.c",
            "if ((rule->states & (unsigned)conversation->state) == 0) {",
            "if ((rule->states & (unsigned)conversation->state) == 0xffffffU) {",
            "unit:test_messages:a_message_out_of_its_state_is_refused"),
    Control("who may send a message", "common/ipc.c", "if (!party_matches(rule->sender, sender) || ",
            "if ((!party_matches(rule->sender, sender) && sender == receiver) || ",
            "unit:test_messages:a_message_of_another_sender_is_refused"),
    Control("what the unpacker may send to the stager", "workers/docker_agent/bulk.c",
            "if (bulk->refusal == NULL && !is_bulk(header.type)) {",
            "if (bulk->refusal == NULL && !is_bulk(header.type) && header.type == 0) {",
            "unit:test_agent_bulk:frames_of_others_are_refused"),
]

SUPERVISOR = [
    Control("counts of unpacker and stager agree", "supervisor/download.c", "        if (!agree) {",
            "        if (!agree && stream->seen && !stream->seen) {", "e2e:test_lying_workers.py::test_entries_that_were_not_sent"),
    Control("/proc shows the filter that a worker claims", "supervisor/spawn.c",
            "if (!no_new_privileges || !filtered) {", "if (!no_new_privileges && !filtered) {",
            "e2e:test_lying_workers.py::test_a_worker_that_only_says_it_is_confined"),
    Control("the archive's project", "supervisor/discovery.c",
            "if (!backup_name_is_of(name, run->options.project_name, &parsed)) {",
            "if (!backup_name_is_of(name, run->options.project_name, &parsed) && name[0] == '/') {",
            "e2e:test_integrity.py::test_wrong_project"),
    Control("free space", "supervisor/validation.c", "if (root->probed && root->free_bytes < needed) {",
            "if (root->probed && root->free_bytes < needed / 1000000) {",
            "e2e:test_command.py::test_insufficient_space_message"),
    Control("users of a volume in other projects", "supervisor/stack.c",
            "if (run->options.allow_shared_volumes || user->read_only != 0) {",
            "if (run->options.allow_shared_volumes || user->read_only <= 1) {",
            "e2e:test_volumes.py::test_foreign_user_of_the_volume_is_refused"),
    Control("the lock's holder still runs", "supervisor/lock.c", "start_time(pid) != start;", "start_time(pid) == start;",
            "e2e:test_lock_owner.py::test_a_process_that_runs_keeps_its_lock"),
    Control("the lock's holder is that process and no later one", "supervisor/lock.c", "start_time(pid) != start;",
            "start_time(pid) == 0;", "e2e:test_lock_owner.py::test_a_lock_whose_process_is_gone_is_taken_over[later process]"),
    Control("secrets leave the environment", "supervisor/options.c", "    secret_wipe(value, strlen(value));",
            "    (void)value;", "unit:test_options:secrets_leave_the_environment"),
]

AGENT_SIDE = [
    Control("the project's label, whatever the list says", "workers/docker_agent/stack.c",
            "    if (strcmp(json_label(json_member(answer, \"Config.Labels\"), PROJECT_LABEL), agent->project) != 0) {",
            "    if (agent->project[0] == '\\0') {",
            "e2e:test_lying_engine.py::test_a_container_of_another_project_is_never_listed"),
    Control("the project's label, before each use", "workers/docker_agent/agent.c",
            "} else if (strcmp(project, agent->project) != 0) {", "} else if (strcmp(project, agent->project) == 7777) {",
            "e2e:test_lying_engine.py::test_a_container_that_became_another_projects_is_not_used"),
    Control("our own container is not acted on", "workers/docker_agent/actions.c", "if (container->self) {",
            "if (container->self && agent->self[0] == '\\0') {",
            AGENT + "test_the_agent_does_not_act_on_its_own_container"),
    Control("a stager that runs holds the lock", "workers/docker_agent/run_lock.c",
            "    if (held == 1 && holder.stager_runs) {", "    if (held == 2 && holder.stager_runs) {",
            AGENT + "test_a_lock_is_not_broken_while_a_stager_runs"),
    Control("the lock's container is ours", "workers/docker_agent/run_lock.c",
            "    if (strcmp(json_label(labels, LABEL_PROJECT), agent->project) != 0 ||\n"
            "        strcmp(json_label(labels, LABEL_ROLE), \"lock\") != 0) {",
            "    if (labels == NULL) {",
            AGENT + "test_a_foreign_container_of_the_locks_name_is_left_alone"),
    Control("lengths of the Engine's stream", "workers/docker_agent/demux.c", "if (header[0] > DEMUX_STDERR || ",
            "if (header[0] > 200 || ", "unit:test_demux:malformed_headers_are_refused"),
]

STAGER_SIDE = [
    Control("intent before the first rename", "workers/stager/swap.c",
            "        record_state(areas, swap, SWAP_OUT, problem) != 0 ||\n", "",
            STAGER + "test_killed_in_commit_then_wholly_old[renameat2]"),
    Control("the journal is on disk before the first rename", "workers/stager/journal.c",
            " || fdatasync(journal->fd) != 0) {", ") {",
            "e2e:test_journal_order.py::test_the_intent_is_on_disk_before_the_first_rename"),
    Control("checksum of the journal's records", "workers/stager/journal.c",
            "memcmp(digits, line, CHECKSUM_DIGITS) != 0", "memcmp(digits, line, CHECKSUM_DIGITS) == 7777",
            "unit:test_stager_journal:a_flipped_bit_never_passes"),
    Control("the directory is the one that the run began with", "workers/stager/area.c",
            "if (status.st_ino != area->inode || !same_device) {", "if (status.st_ino == 0 || !same_device) {",
            STAGER + "test_an_exchanged_root_is_not_touched"),
    Control("the run's folder is the one that it made", "workers/stager/area.c", "    if (!known && !fresh) {",
            "    if (!known && !fresh && area->work_inode == 0) {", STAGER + "test_a_forged_folder_of_the_run_is_not_used"),
    Control("symbolic links are not followed", "workers/stager/tree.c",
            "#define RESOLVE_WITHIN (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)",
            "#define RESOLVE_WITHIN (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)",
            STAGER + "test_hostile_tars_are_refused[through a symlink within]"),
    Control("names stay within the volume", "workers/stager/place.c", "if (!tree_path_is_sound(out)) {",
            "if (out[0] == '/' && !tree_path_is_sound(out)) {", STAGER + "test_hostile_tars_are_refused[parent that stays within]"),
    Control("our own folder's name, again", "workers/stager/place.c",
            "if (strncmp(within, WORK_PREFIX, sizeof WORK_PREFIX - 1) == 0) {",
            "if (strncmp(within, WORK_PREFIX, sizeof WORK_PREFIX - 1) == 7777) {",
            STAGER + "test_hostile_tars_are_refused[another run's folder]"),
    Control("space that staging leaves free", "workers/stager/stage.c", "if (available < stage->reserve) {",
            "if (available < stage->reserve / 1000000) {", STAGER + "test_space_runs_out[6000000-7000000]"),
    Control("setuid bits of what becomes root's", "workers/stager/owners.c",
            "return as_archived || (setuid_stays && setgid_stays);",
            "return mode != 0 || as_archived || (setuid_stays && setgid_stays);",
            "unit:test_stager_parts:special_bits_stay_only_where_the_owner_was_not_changed_to_root"),
    Control("owners of the live tree", "workers/stager/owners.c",
            "(owners->ownership == OWNERSHIP_AUTO && !owners->archive_knows);",
            "(owners->ownership == OWNERSHIP_AUTO && owners->archive_knows);",
            "unit:test_stager_parts:owners_follow_the_live_tree_until_the_archive_knows"),
]

FETCHER_SIDE = [
    Control("If-Match", "workers/fetcher/exchange.c", '        add_header(exchange, "If-Match", exchange->request.etag);',
            '        add_header(exchange, "X-If-Match", exchange->request.etag);', FETCHER + "test_get[1000]"),
    Control("the ETag of each range", "workers/fetcher/exchange.c",
            "} else if (request->etag[0] != '\\0' && strcmp(etag, request->etag) != 0) {",
            "} else if (request->etag[0] != '\\0' && strcmp(etag, request->etag) == 7777) {",
            FETCHER + "test_wrong_answers_are_refused_at_once[other etag]"),
    Control("the range that was asked for", "workers/fetcher/exchange.c", "} else if (strcmp(range, due) != 0) {",
            "} else if (strcmp(range, due) == 7777) {", FETCHER + "test_wrong_answers_are_refused_at_once[other range]"),
    Control("no more bytes than were due", "workers/fetcher/exchange.c",
            "if (size > request->size - exchange->received) {", "if (size > 10 * request->size) {",
            FETCHER + "test_wrong_answers_are_refused_at_once[longer]"),
    Control("a document that is no list", "workers/fetcher/s3_list.c", "    if (!reading.is_list) {",
            "    if (!reading.is_list && size == 0) {", "unit:test_s3_list:what_is_no_list_is_refused"),
    Control("a list that is no sound XML", "workers/fetcher/s3_list.c", "    if (refused != NULL) {\n",
            "    if (refused != NULL && !reading.is_list) {\n", "unit:test_s3_list:what_is_no_list_is_refused"),
]

CONFINEMENT = [
    Control("the filter of system calls", "common/sandbox.c", "        result = seccomp_load(filter);",
            "        result = 0;", UNPACKER + "test_its_sandbox_is_on_when_it_says_ready"),
    Control("no environment for workers", "supervisor/spawn.c", "char *const environment[] = {NULL};",
            "char *const *environment = environ;", "e2e:test_confinement.py::test_workers_have_no_environment"),
]

CONTROLS = READING + ENTRIES + DUMPS + FRAMES + SUPERVISOR + AGENT_SIDE + STAGER_SIDE + FETCHER_SIDE + CONFINEMENT
