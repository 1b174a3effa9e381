-- Every flight that left New York City in 2013. Run from the top of the checkout, with the environment's python3 first:
--   . .venv/bin/activate && borealis psql -f examples/nycflights13/load.sql
\set ON_ERROR_STOP on

CREATE TABLE airlines (
    carrier text PRIMARY KEY,
    name    text NOT NULL
);
CREATE TABLE airports (
    faa   text PRIMARY KEY,
    name  text NOT NULL,
    lat   numeric NOT NULL,
    lon   numeric NOT NULL,
    alt   integer NOT NULL,
    tz    smallint NOT NULL,
    dst   "char" NOT NULL,
    tzone text
);
CREATE TABLE planes (
    tailnum      text PRIMARY KEY,
    year         smallint,
    type         text NOT NULL,
    manufacturer text NOT NULL,
    model        text NOT NULL,
    engines      smallint NOT NULL,
    seats        smallint NOT NULL,
    speed        smallint,
    engine       text NOT NULL
);
CREATE TABLE weather (
    origin     text REFERENCES airports,
    year       smallint NOT NULL,
    month      smallint NOT NULL,
    day        smallint NOT NULL,
    hour       smallint NOT NULL,
    temp       numeric,
    dewp       numeric,
    humid      numeric,
    wind_dir   smallint,
    wind_speed numeric,
    wind_gust  numeric,
    precip     numeric,
    pressure   numeric,
    visib      numeric,
    time_hour  timestamptz,
    PRIMARY KEY (origin, time_hour)
);
CREATE TABLE flights (
    year           smallint NOT NULL,
    month          smallint NOT NULL,
    day            smallint NOT NULL,
    dep_time       smallint,
    sched_dep_time smallint NOT NULL,
    dep_delay      smallint,
    arr_time       smallint,
    sched_arr_time smallint NOT NULL,
    arr_delay      smallint,
    carrier        text REFERENCES airlines,
    flight         integer,
    tailnum        text,
    origin         text REFERENCES airports,
    dest           text NOT NULL,
    air_time       smallint,
    distance       smallint NOT NULL,
    hour           smallint NOT NULL,
    minute         smallint NOT NULL,
    time_hour      timestamptz,
    PRIMARY KEY (time_hour, carrier, flight, origin)
);
CREATE INDEX ON flights (dest, time_hour DESC);

\copy airlines FROM PROGRAM 'python3 examples/nycflights13/rows.py airlines' (FORMAT csv, HEADER match, NULL 'NA')
\copy airports FROM PROGRAM 'python3 examples/nycflights13/rows.py airports' (FORMAT csv, HEADER match, NULL 'NA')
\copy planes FROM PROGRAM 'python3 examples/nycflights13/rows.py planes' (FORMAT csv, HEADER match, NULL 'NA')
\copy weather FROM PROGRAM 'python3 examples/nycflights13/rows.py weather' (FORMAT csv, HEADER match, NULL 'NA')
\copy flights FROM PROGRAM 'python3 examples/nycflights13/rows.py flights' (FORMAT csv, HEADER match, NULL 'NA')

CREATE INDEX ON flights (tailnum);
CREATE INDEX ON flights (carrier, arr_delay DESC NULLS LAST) WHERE arr_delay > 60;
CREATE INDEX ON planes (manufacturer, year);

-- Some planes and airports of the flights are not in the data; NOT VALID holds for new rows only.
ALTER TABLE flights ADD FOREIGN KEY (tailnum) REFERENCES planes NOT VALID;
ALTER TABLE flights ADD FOREIGN KEY (dest) REFERENCES airports NOT VALID;

ANALYZE airlines, airports, planes, weather, flights;
