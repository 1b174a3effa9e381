#include "reservations.h"

#include "memory.h"
#include "record.h"

#define NAMESPACE_ROW 0x10

struct reservation
{
	struct reservation *next;
	uint64_t	owner;
	uint64_t	since;
	uint32_t	count;
	uint32_t	tables[]; /* ascending */
};

static int
compare_tables(const void *left, const void *right)
{
	uint32_t	tables[2] = {*(const uint32_t *) left, *(const uint32_t *) right};

	return tables[0] < tables[1] ? -1 : tables[0] > tables[1];
}

void
reserve(struct reservations *reservations, uint64_t owner, uint64_t now, const uint8_t *tables, uint32_t count)
{
	struct reservation *reservation = tx_resize(NULL, 1, sizeof(*reservation) + (size_t) count * sizeof(uint32_t));

	release_reservation(reservations, owner);
	reservation->owner = owner;
	reservation->since = now;
	reservation->count = count;
	for (uint32_t number = 0; number < count; number++)
		reservation->tables[number] = load_u32(tables + 4 * (size_t) number);
	qsort(reservation->tables, count, sizeof(uint32_t), compare_tables);
	reservation->next = reservations->first;
	reservations->first = reservation;
}

static int
release_matching(struct reservations *reservations, uint64_t owner, uint64_t since_at_most)
{
	int			is_released = 0;

	for (struct reservation **link = &reservations->first; *link != NULL;)
	{
		struct reservation *each = *link;

		if ((owner != 0 && each->owner != owner) || each->since > since_at_most)
		{
			link = &each->next;
			continue;
		}
		*link = each->next;
		free(each);
		is_released = 1;
	}
	return is_released;
}

int
release_reservation(struct reservations *reservations, uint64_t owner)
{
	return release_matching(reservations, owner, UINT64_MAX);
}

int
release_aged_reservations(struct reservations *reservations, uint64_t since_at_most)
{
	return release_matching(reservations, 0, since_at_most);
}

static int
is_reserved_by_others(const struct reservations *reservations, uint64_t sender, uint32_t table)
{
	for (const struct reservation *each = reservations->first; each != NULL; each = each->next)
		if (each->owner != sender &&
			bsearch(&table, each->tables, each->count, sizeof(uint32_t), compare_tables) != NULL)
			return 1;
	return 0;
}

static int
has_reserved_row(const struct reservations *reservations, uint64_t sender, const struct key_array *array)
{
	uint32_t	start = 0;
	uint32_t	free_table = 0; /* the last one that nobody has reserved */

	for (uint32_t number = 0; number < array->count; number++)
	{
		const uint8_t *key = array->keys + start;
		uint32_t	table = (uint32_t) key[1] << 24 | (uint32_t) key[2] << 16 | (uint32_t) key[3] << 8 | key[4];

		start = key_end(array, number);
		if (key[0] != NAMESPACE_ROW || table == free_table)
			continue;
		if (is_reserved_by_others(reservations, sender, table))
			return 1;
		free_table = table;
	}
	return 0;
}

int
is_held_back(const struct reservations *reservations, uint64_t sender, const uint8_t *record, size_t length)
{
	struct record opened;

	if (reservations->first == NULL)
		return 0;
	open_record(record, length, &opened);
	return opened.entry_bytes == 0 && (has_reserved_row(reservations, sender, &opened.writes) ||
									   has_reserved_row(reservations, sender, &opened.locks));
}
