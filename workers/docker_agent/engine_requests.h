/* Which requests may be made of the Docker Engine: engine_requests.def. */
#ifndef ENGINE_REQUESTS_H
#define ENGINE_REQUESTS_H

#include <stdbool.h>

/* Whether the table has a request; `path` is without the version, with its query. */
bool engine_request_permitted(const char *method, const char *path);

#endif
