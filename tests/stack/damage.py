#!/usr/bin/python3
"""Damages the filled stack: adds, changes and deletes in every volume and
database, so that only a real restore makes it as it was.

    damage.py PROJECT

Left alone is what no archive of the sidecar can bring back: MariaDB's events
(its dump has none), the mode of a volume's root (`docker cp` skips it, so the
archive holds the sidecar's own mkdir), and entries whose owner differs from
their folder's (the archive has no owners, so a missing one gets its folder's).
"""
import argparse
import os
import pathlib
import shutil

import stack

APP = 1000

POSTGRES_SHOP = r'''
UPDATE customers SET name = 'changed ' || id WHERE id % 3 = 0;
DELETE FROM orders WHERE id % 2 = 0;
INSERT INTO without_key SELECT * FROM without_key;
INSERT INTO "odd schema"."Odd ""Table""" VALUES ('added', 'later');
DROP TABLE measured;
CREATE TABLE added_later (a integer PRIMARY KEY);
INSERT INTO added_later VALUES (1);
ALTER TABLE orders ADD COLUMN added_later integer DEFAULT 5;
SELECT setval('invoice_numbers', 99999);
DROP VIEW big_orders;
CREATE OR REPLACE FUNCTION total_of(integer) RETURNS numeric LANGUAGE sql AS 'SELECT 0::numeric';
DROP TRIGGER stamp_orders ON orders;
SELECT lo_unlink(70001);
SELECT lo_put(70002, 0, 'damaged');
SELECT lo_create(80000);
REVOKE ALL ON orders FROM reader;
GRANT ALL ON customers TO PUBLIC;
'''

POSTGRES_OTHERS = ["quo\"te'd", "UPPER", "$dollar", "back\\slash"]

POSTGRES_CLUSTER = r"""
ALTER ROLE reader PASSWORD 'another password' CREATEDB;
REVOKE "group" FROM "writer-role";
ALTER ROLE "odd ""role"" ü" RENAME TO renamed_role;
DROP DATABASE "dash-ed";
DROP DATABASE "Größe" WITH (FORCE);
ALTER DATABASE "UPPER" CONNECTION LIMIT 99;
CREATE TABLE left_in_postgres (a integer);
"""

POSTGRES_THINGS = """
UPDATE extra.things SET name = 'changed' WHERE id = 1;
DELETE FROM extra.things WHERE id = 2;
INSERT INTO extra.things VALUES (1000, 'added');
"""

# What the extras leave behind is removed where a run should end identical.
POSTGRES_WITHOUT_EXTRAS = """
DROP ROLE renamed_role;
DROP TABLE left_in_postgres;
"""

MARIADB = r"""
USE wiki;
UPDATE users SET name = CONCAT('changed ', id) WHERE id % 3 = 0;
DELETE FROM pages WHERE id % 2 = 0;
INSERT INTO without_key SELECT * FROM without_key;
DROP TABLE old_engine;
CREATE TABLE added_later (a INT PRIMARY KEY, author INT, FOREIGN KEY (author) REFERENCES users (id));
INSERT INTO added_later VALUES (1, 1);
ALTER TABLE pages ADD COLUMN added_later INT DEFAULT 5;
SELECT SETVAL(invoice_numbers, 99999);
DROP VIEW long_pages;
DROP PROCEDURE tidy;
CREATE PROCEDURE added_later() SELECT 1;
DROP TRIGGER stamp;
DROP DATABASE `Größe`;
ALTER USER 'reader'@'%' IDENTIFIED BY 'another password';
REVOKE SELECT ON wiki.* FROM editors;
GRANT DELETE ON `with space`.* TO 'limited'@'localhost';
CREATE USER 'added_later'@'%' IDENTIFIED BY 'x';
UPDATE `with space`.things SET name = 'changed' WHERE id = 1;
DELETE FROM `with space`.things WHERE id = 2;
INSERT INTO `with space`.things VALUES (1000, 'added');
CREATE TABLE `dash-ed`.added_later (a INT);
CREATE TABLE empty_one.added_later (a INT);
DELETE FROM `quo'te"d`.t;
DROP TABLE `back``tick`.t;
"""

MARIADB_LATER_DATABASE = "CREATE DATABASE added_later; CREATE TABLE added_later.t (a INT);"


def write(path, data, mode=0o644):
    path.write_bytes(data)
    os.chown(path, APP, APP)
    path.chmod(mode)


def damage_uploads(root):
    write(root / "added-later.txt", b"added")
    (root / "added-folder").mkdir()
    write(root / "added-folder" / "..added", b"added")
    write(root / "..name", b"changed")
    (root / "setuid-tool").chmod(0o755)
    (root / "shared").chmod(0o700)
    (root / "readonly").unlink()
    (root / "queue").unlink()
    (root / "linked" / "twin").unlink()
    (root / "link-dangling").unlink()
    (root / "link-dangling").symlink_to("elsewhere")
    os.lchown(root / "link-dangling", APP, APP)
    (root / "empty-folder").rmdir()
    write(root / "empty-folder", b"a file in a folder's place")
    shutil.rmtree(root / "photos" / "03")
    shutil.rmtree(root / "deep")
    with (root / "sparse.img").open("r+b") as file:
        file.truncate(100)
    os.utime(root / "empty", ns=(1, 1))


def damage_config(root):
    write(root / "added.ini", b"added")
    write(root / "app.ini", b"[app]\nname = damaged\n", mode=0o666)
    (root / "conf.d" / "00000.conf").unlink()
    write(root / "conf.d" / "00001.conf", b"changed")
    (root / "certs" / "key.pem").unlink()
    (root / "certs").chmod(0o777)


def damage_postgres(item, with_extras):
    stack.psql(item, "shop", POSTGRES_SHOP)
    stack.psql(item, "postgres", POSTGRES_CLUSTER)
    stack.psql(item, "with space", POSTGRES_THINGS)
    for database in POSTGRES_OTHERS:
        stack.psql(item, database, "CREATE TABLE added_later (a integer);")
    if with_extras:
        stack.psql(item, "postgres", "CREATE DATABASE added_later;")
    else:
        stack.psql(item, "postgres", POSTGRES_WITHOUT_EXTRAS)


def damage_mariadb(item, with_extras):
    stack.mariadb(item, MARIADB)
    if with_extras:
        stack.mariadb(item, MARIADB_LATER_DATABASE)


def damage(project, with_extras=False):
    """Damages everything. with_extras adds databases, a role and a table in
    `postgres` that the dump does not know: a restore reports and keeps them."""
    folders = stack.volumes(project)
    damage_uploads(pathlib.Path(folders["app/uploads"]))
    damage_config(pathlib.Path(folders["app/config"]))
    damage_postgres(stack.container(project, "db"), with_extras)
    damage_mariadb(stack.container(project, "maria"), with_extras)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("project")
    parser.add_argument("--extras", action="store_true",
                        help="also add databases and a role that the dump does not know")
    options = parser.parse_args()
    damage(options.project, options.extras)


if __name__ == "__main__":
    main()
