/* The descriptors that are watched for something to read: epoll, or kqueue. What is not read is reported again. */
#ifndef TRANSACTION_EVENT_SET_H
#define TRANSACTION_EVENT_SET_H

#include <stdint.h>

#define EVENT_SET_TAGS_MAX 1024

/* A descriptor that is itself readable when one of the set is; -1 with errno. */
extern int	event_set_open(void);
/* 0, or an errno. */
extern int	event_set_add(int set, int descriptor, uint64_t tag);
extern void event_set_remove(int set, int descriptor);
/* The tags of descriptors that are readable now; does not wait. Returns how many, at most EVENT_SET_TAGS_MAX. */
extern int	event_set_take(int set, uint64_t *tags);

#endif
