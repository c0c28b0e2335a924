"""The demo application: one PostgreSQL session, open as long as it lives.

It is 'ready' (/tmp/ready exists, the health check looks for it) while the
session answers and the uploads folder can be written by this user; a restore
that leaves wrong owners behind makes it unhealthy.
"""
import os
import pathlib
import time

import psycopg2

READY = pathlib.Path("/tmp/ready")
PAUSE_SECONDS = 0.5


def connect():
    connection = psycopg2.connect(
        host=os.environ["DB_HOST"], dbname=os.environ["DB_NAME"],
        user=os.environ["DB_USER"], password=os.environ["DB_PASSWORD"],
        application_name="demo-app", connect_timeout=5)
    connection.autocommit = True
    return connection


def ask_until_broken(connection):
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if os.access("/data/uploads", os.W_OK):
            READY.touch()
        else:
            READY.unlink(missing_ok=True)
        time.sleep(PAUSE_SECONDS)


def main():
    while True:
        try:
            ask_until_broken(connect())
        except psycopg2.Error as error:
            READY.unlink(missing_ok=True)
            print("database:", error, flush=True)
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
