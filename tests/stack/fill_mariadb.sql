-- The demo stack's MariaDB data; @SEED@ and @ROWS@ are replaced by fill.py.
-- Databases and users that exist already are dropped first.
SET NAMES utf8mb4;
DROP DATABASE IF EXISTS wiki;
DROP DATABASE IF EXISTS `with space`;
DROP DATABASE IF EXISTS `dash-ed`;
DROP DATABASE IF EXISTS `quo'te"d`;
DROP DATABASE IF EXISTS `back``tick`;
DROP DATABASE IF EXISTS `Größe`;
DROP DATABASE IF EXISTS `empty_one`;
DROP USER IF EXISTS 'reader'@'%', 'od"d user'@'10.%', 'limited'@'localhost';
DROP ROLE IF EXISTS editors;

CREATE DATABASE wiki CHARACTER SET utf8mb4;
CREATE DATABASE `with space`;
CREATE DATABASE `dash-ed` CHARACTER SET latin1 COLLATE latin1_german1_ci;
CREATE DATABASE `quo'te"d`;
CREATE DATABASE `back``tick`;
CREATE DATABASE `Größe`;
CREATE DATABASE `empty_one`;

CREATE ROLE editors;
CREATE USER 'reader'@'%' IDENTIFIED BY 'reader''s \\password';
CREATE USER 'od"d user'@'10.%' IDENTIFIED BY 'ü' REQUIRE SSL;
CREATE USER 'limited'@'localhost' IDENTIFIED BY 'x' WITH MAX_QUERIES_PER_HOUR 90;
GRANT SELECT ON wiki.* TO editors;
GRANT editors TO 'reader'@'%';
GRANT ALL ON `with space`.* TO 'od"d user'@'10.%' WITH GRANT OPTION;

USE wiki;
CREATE TABLE users (
	id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL UNIQUE,
	mood ENUM('sad', 'ok', 'it''s; fine') DEFAULT 'ok', picture BLOB) ENGINE=InnoDB;
CREATE TABLE pages (
	id BIGINT AUTO_INCREMENT PRIMARY KEY, author INT, title VARCHAR(200), body LONGTEXT,
	score DOUBLE, price DECIMAL(12,2), edited DATETIME(6),
	title_length INT GENERATED ALWAYS AS (CHAR_LENGTH(title)) STORED,
	FULLTEXT KEY words (title), FOREIGN KEY (author) REFERENCES users (id)) ENGINE=InnoDB;
CREATE TABLE without_key (day DATE, reading FLOAT, flags SET('a', 'b', 'c'), bits BIT(9)) ENGINE=InnoDB;
CREATE TABLE old_engine (a INT, b TEXT) ENGINE=MyISAM;
CREATE TABLE `odd ``table` (`select` TEXT, `back\slash` LONGBLOB);
CREATE TABLE empty_table (a INT);
CREATE SEQUENCE invoice_numbers START WITH 1000 INCREMENT BY 7 NOCACHE;
SELECT NEXTVAL(invoice_numbers), NEXTVAL(invoice_numbers);

SET @@rand_seed1 = @SEED@, @@rand_seed2 = 4711;
INSERT INTO users (name, picture) SELECT CONCAT('user ', seq), UNHEX(MD5(seq)) FROM seq_1_to_100;
INSERT INTO pages (author, title, body, score, price, edited)
	SELECT 1 + seq % 100, CONCAT('Page ', seq), REPEAT(MD5(RAND()), 10), RAND(), seq / 7,
		'2023-01-01 00:00:00.000001' + INTERVAL seq MINUTE
	FROM seq_1_to_@ROWS@;
INSERT INTO without_key SELECT '2023-01-01' + INTERVAL seq % 500 DAY, seq / 3, 1 + seq % 7, seq % 512
	FROM seq_1_to_@ROWS@;
INSERT INTO without_key VALUES (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL);
INSERT INTO old_engine SELECT seq, CONCAT('row ', seq) FROM seq_1_to_50;
INSERT INTO `odd ``table` VALUES
	('\\! touch /tmp/pwned', UNHEX('00010D0A1A5C27FF')), ('\\N', ''), ('-- Dump completed', NULL),
	('line\nbreak; DELIMITER ;;', 'Grüße 日本 😀'), ('source /etc/passwd\n', '\r\n');

CREATE VIEW long_pages AS SELECT id, title FROM pages WHERE title_length > 7;
CREATE DEFINER = 'reader'@'%' SQL SECURITY INVOKER VIEW authors AS SELECT name FROM users;
DELIMITER //
CREATE PROCEDURE tidy(IN days INT)
BEGIN
	-- a ; in a body, and a 'quote'
	DELETE FROM empty_table WHERE a > days;
END //
CREATE FUNCTION shout(t TEXT) RETURNS TEXT DETERMINISTIC
	RETURN CONCAT(UPPER(t), '!;\\')//
CREATE TRIGGER stamp BEFORE INSERT ON pages FOR EACH ROW
BEGIN
	SET NEW.title = COALESCE(NEW.title, 'it''s new');
END //
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' DISABLE
	DO BEGIN DELETE FROM empty_table; END //
CREATE PROCEDURE `with space`.`odd proc`() BEGIN SELECT 1; END //
DELIMITER ;
GRANT SELECT (title), UPDATE (title) ON wiki.pages TO 'reader'@'%';
GRANT EXECUTE ON PROCEDURE wiki.tidy TO 'limited'@'localhost';

CREATE TABLE `with space`.things (id INT PRIMARY KEY, name TEXT);
INSERT INTO `with space`.things SELECT seq, CONCAT('thing ', seq) FROM seq_1_to_50;
CREATE TABLE `dash-ed`.t (a TEXT);
INSERT INTO `dash-ed`.t VALUES ('Grüße');
CREATE TABLE `quo'te"d`.t (a INT);
INSERT INTO `quo'te"d`.t VALUES (1);
CREATE TABLE `back``tick`.t (a INT);
INSERT INTO `back``tick`.t VALUES (2);
CREATE TABLE `Größe`.`Maße` (`Länge` INT);
INSERT INTO `Größe`.`Maße` VALUES (3);
