#!/bin/bash
# Succeeds when the server answers a query over TCP to the healthcheck user
# that the first start made.
exec mariadb --defaults-extra-file=/var/lib/mysql/.my-healthcheck.cnf \
	--protocol=tcp --host=127.0.0.1 --connect-timeout=3 \
	--batch --skip-column-names --execute 'SELECT 1'
