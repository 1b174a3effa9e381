#include "event_set.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#ifdef __APPLE__

#include <sys/event.h>
#include <sys/time.h>

int
event_set_open(void)
{
	int			set = kqueue();

	if (set >= 0)
		fcntl(set, F_SETFD, FD_CLOEXEC);
	return set;
}

int
event_set_add(int set, int descriptor, uint64_t tag)
{
	struct kevent change;

	EV_SET(&change, descriptor, EVFILT_READ, EV_ADD, 0, 0, (void *) (uintptr_t) tag);
	return kevent(set, &change, 1, NULL, 0, NULL) == 0 ? 0 : errno;
}

void
event_set_remove(int set, int descriptor)
{
	struct kevent change;

	EV_SET(&change, descriptor, EVFILT_READ, EV_DELETE, 0, 0, NULL);
	kevent(set, &change, 1, NULL, 0, NULL);
}

int
event_set_take(int set, uint64_t *tags)
{
	struct kevent ready[EVENT_SET_TAGS_MAX];
	const struct timespec at_once = {0, 0};
	int			count;

	do
		count = kevent(set, NULL, 0, ready, EVENT_SET_TAGS_MAX, &at_once);
	while (count < 0 && errno == EINTR);
	for (int number = 0; number < count; number++)
		tags[number] = (uint64_t) (uintptr_t) ready[number].udata;
	return count < 0 ? 0 : count;
}

#else

#include <sys/epoll.h>

int
event_set_open(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

int
event_set_add(int set, int descriptor, uint64_t tag)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = tag};

	return epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : errno;
}

void
event_set_remove(int set, int descriptor)
{
	struct epoll_event unused = {0};

	epoll_ctl(set, EPOLL_CTL_DEL, descriptor, &unused);
}

int
event_set_take(int set, uint64_t *tags)
{
	struct epoll_event ready[EVENT_SET_TAGS_MAX];
	int			count;

	do
		count = epoll_wait(set, ready, EVENT_SET_TAGS_MAX, 0);
	while (count < 0 && errno == EINTR);
	for (int number = 0; number < count; number++)
		tags[number] = ready[number].data.u64;
	return count < 0 ? 0 : count;
}

#endif
