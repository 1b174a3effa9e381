-- What the flights tell. Run it with: borealis psql -f examples/nycflights13/queries.sql
\pset pager off

\echo -- How many rows there are
SELECT (SELECT count(*) FROM flights) AS flights, (SELECT count(*) FROM planes) AS planes,
       (SELECT count(*) FROM weather) AS weather, (SELECT count(*) FROM airports) AS airports,
       (SELECT count(*) FROM airlines) AS airlines;

\echo -- Which airlines are punctual
SELECT a.name, count(*) AS flights, round(avg(f.arr_delay), 3) AS mean_delay,
       percentile_disc(0.9) WITHIN GROUP (ORDER BY f.arr_delay) AS delay_of_one_in_ten,
       round(100.0 * count(*) FILTER (WHERE f.arr_delay IS NULL) / count(*), 2) AS percent_lost
FROM flights f JOIN airlines a USING (carrier)
GROUP BY a.name ORDER BY mean_delay, a.name;

\echo -- Where the longest delays end, three joins deep
SELECT d.name AS destination, l.name AS airline, p.manufacturer, count(*), round(avg(f.arr_delay), 2) AS mean_delay
FROM flights f
JOIN airports d ON d.faa = f.dest
JOIN airlines l USING (carrier)
JOIN planes p USING (tailnum)
WHERE f.arr_delay > 0
GROUP BY 1, 2, 3 HAVING count(*) > 400 ORDER BY mean_delay DESC, 1, 2, 3 LIMIT 10;

\echo -- Rain and delay
SELECT f.origin, CASE WHEN w.precip > 0.1 THEN 'heavy' WHEN w.precip > 0 THEN 'light' WHEN w.precip = 0 THEN 'none'
       ELSE 'unknown' END AS rain, count(*), round(avg(f.dep_delay), 3) AS mean_delay
FROM flights f LEFT JOIN weather w USING (origin, time_hour)
GROUP BY 1, 2 ORDER BY 1, 2;

\echo -- The worst day of each month
SELECT month, day, late FROM (
    SELECT month, day, sum(greatest(arr_delay, 0)) AS late,
           rank() OVER (PARTITION BY month ORDER BY sum(greatest(arr_delay, 0)) DESC, day) AS place
    FROM flights GROUP BY month, day) AS days
WHERE place = 1 ORDER BY month;

\echo -- A moving average of the flights to San Francisco, newest first, from the index
SELECT day_of, flights, round(avg(flights) OVER (ORDER BY day_of ROWS 6 PRECEDING), 2) AS week FROM (
    SELECT (time_hour AT TIME ZONE 'America/New_York')::date AS day_of, count(*) AS flights
    FROM flights WHERE dest = 'SFO' GROUP BY 1) AS days
ORDER BY day_of DESC LIMIT 10;

\echo -- Planes that never rest: the shortest time between two departures
SELECT tailnum, time_hour, pause FROM (
    SELECT tailnum, time_hour, time_hour - lag(time_hour) OVER (PARTITION BY tailnum ORDER BY time_hour, carrier, flight)
        AS pause
    FROM flights WHERE tailnum IN ('N725MQ', 'N722MQ', 'N723MQ', 'N711MQ', 'N713MQ')) AS gaps
WHERE pause > interval '0' ORDER BY pause, tailnum, time_hour LIMIT 10;

\echo -- Planes of the flights that the register does not know
SELECT f.carrier, count(DISTINCT f.tailnum) AS planes, count(*) AS flights
FROM flights f
WHERE f.tailnum IS NOT NULL AND NOT EXISTS (SELECT FROM planes p WHERE p.tailnum = f.tailnum)
GROUP BY 1 ORDER BY 1;

\echo -- The age of the fleet, with sub-totals
SELECT coalesce(l.name, 'all') AS airline, coalesce(p.engine, 'all') AS engine, count(DISTINCT p.tailnum) AS planes,
       round(avg(2013 - p.year), 2) AS mean_age
FROM flights f JOIN planes p USING (tailnum) JOIN airlines l USING (carrier)
WHERE f.month <= 2
GROUP BY ROLLUP (l.name, p.engine) ORDER BY grouping(l.name), 1, grouping(p.engine), 2;

\echo -- One flight by its key, one plane by its index
SELECT year, month, day, dep_time, arr_delay, tailnum FROM flights
WHERE time_hour = '2013-01-01T10:00:00Z' AND carrier = 'UA' AND flight = 1545 AND origin = 'EWR';
SELECT min(time_hour), max(time_hour), count(*), sum(distance) FROM flights WHERE tailnum = 'N14228';

\echo -- The airports that are furthest away, and the latest flight there
SELECT faa, name, round(distance) AS miles, latest FROM (
    SELECT d.faa, d.name, max(f.distance) AS distance, max(f.time_hour) AS latest
    FROM flights f JOIN airports d ON d.faa = f.dest GROUP BY d.faa, d.name) AS far
ORDER BY distance DESC, faa LIMIT 5;

\echo -- Every route that two or more airlines fly, and who flies it most
SELECT DISTINCT ON (origin, dest) origin, dest, carrier, n FROM (
    SELECT origin, dest, carrier, count(*) AS n, count(*) OVER (PARTITION BY origin, dest) AS airlines
    FROM flights GROUP BY 1, 2, 3) AS routes
WHERE airlines > 3 ORDER BY origin, dest, n DESC, carrier;

\echo -- Hours in which an airport had no flight at all
WITH RECURSIVE hours (h) AS (
    SELECT timestamptz '2013-02-01T12:00:00Z' UNION ALL SELECT h + interval '1 hour' FROM hours
    WHERE h < '2013-02-10T12:00:00Z')
SELECT count(*), min(h), max(h) FROM hours
WHERE NOT EXISTS (SELECT FROM flights WHERE time_hour = h AND origin = 'LGA');

\echo -- A fingerprint of every row
SELECT md5(string_agg(md5(f::text), '' ORDER BY time_hour, carrier, flight, origin)) FROM flights f;
SELECT md5(string_agg(md5(w::text), '' ORDER BY origin, time_hour)) FROM weather w;
SELECT md5(string_agg(md5(p::text), '' ORDER BY tailnum)) FROM planes p;
