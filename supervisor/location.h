/* Where the backups are: S3_BUCKET_URL, the endpoint and the region. */
#ifndef LOCATION_H
#define LOCATION_H

#include "run.h"

/* Fill run->bucket, prefix, endpoint, region and file_store from the options. Returns 0, or -1 (run_fail). */
int location_parse(struct run *run);

#endif
