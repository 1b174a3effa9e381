/*
 * python_calls.c
 *	  What a front does for each message, as built-in functions of Python.
 *
 * decrypt and encrypt take the session's handle and bytes, at most
 * INPUT_BYTES_MAX of them (src/borealis/tls/library.py), and return bytes.  Where
 * there is more to say, an error or the end of the peer's side, they return the
 * number that the door of the same purpose returns, and what belongs to it is in
 * the result buffer.
 *
 * receive and send do the same with a socket that does not block: ciphertext
 * that nobody has to wait for never becomes an object of Python.
 */
#include "doors.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

#include "python_calls.h"

#define DECLARE(result, name, parameters) static result (*name) parameters;
PYTHON_FUNCTIONS(DECLARE)
static PyObject **PyExc_OSError;

typedef enum Call
{
	DECRYPT,
	ENCRYPT,
	RECEIVE,
	SEND
} Call;

typedef int64_t (*SessionCall) (Session *session, const unsigned char *data, size_t bytes, unsigned char *out);

static unsigned char *result_buffer;
static unsigned char received[INPUT_BYTES_MAX];

static PyObject *
answer(int64_t result)
{
	if (result < 0 || result >= RESULT_PEER_CLOSED)
		return PyLong_FromLongLong(result);
	return PyBytes_FromStringAndSize((const char *) result_buffer, (Py_ssize_t) result);
}

static int
is_for_later(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static PyObject *
convert(SessionCall function, PyObject *const *arguments, Py_ssize_t count)
{
	Session    *session;
	char	   *data;
	Py_ssize_t	bytes;

	if (count != 2)
	{
		PyErr_BadArgument();
		return NULL;
	}
	session = PyLong_AsVoidPtr(arguments[0]);
	if ((session == NULL && PyErr_Occurred()) || PyBytes_AsStringAndSize(arguments[1], &data, &bytes) < 0)
		return NULL;
	return answer(function(session, (const unsigned char *) data, (size_t) bytes, result_buffer));
}

static PyObject *
decrypt(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
	(void) self;
	return convert(tls_session_decrypt, arguments, count);
}

static PyObject *
encrypt(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
	(void) self;
	return convert(tls_session_encrypt, arguments, count);
}

/* (handle, descriptor, most to receive): as decrypt; STREAM_ENDED when nothing more will come.  Raises OSError. */
static PyObject *
receive(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
	Session    *session;
	long		descriptor;
	long		most;
	ssize_t		bytes;

	(void) self;
	if (count != 3)
	{
		PyErr_BadArgument();
		return NULL;
	}
	session = PyLong_AsVoidPtr(arguments[0]);
	descriptor = PyLong_AsLong(arguments[1]);
	most = PyLong_AsLong(arguments[2]);
	if (PyErr_Occurred())
		return NULL;
	if (most < 1 || most > INPUT_BYTES_MAX)
		most = INPUT_BYTES_MAX;
	bytes = recv((int) descriptor, received, (size_t) most, 0);
	if (bytes > 0)
		return answer(tls_session_decrypt(session, received, (size_t) bytes, result_buffer));
	if (bytes == 0)
		return answer(STREAM_ENDED);
	if (is_for_later(errno))
		return answer(0);
	return PyErr_SetFromErrno(*PyExc_OSError);
}

/* (handle, bytes, descriptor): as encrypt, but of the records only what the socket did not take.  Raises OSError. */
static PyObject *
send_records(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
	Session    *session;
	char	   *data;
	Py_ssize_t	bytes;
	long		descriptor;
	int64_t		result;
	ssize_t		taken;

	(void) self;
	if (count != 3)
	{
		PyErr_BadArgument();
		return NULL;
	}
	session = PyLong_AsVoidPtr(arguments[0]);
	descriptor = PyLong_AsLong(arguments[2]);
	if (PyErr_Occurred() || PyBytes_AsStringAndSize(arguments[1], &data, &bytes) < 0)
		return NULL;
	result = tls_session_encrypt(session, (const unsigned char *) data, (size_t) bytes, result_buffer);
	if (result <= 0)
		return answer(result);
	taken = send((int) descriptor, result_buffer, (size_t) result, 0);
	if (taken < 0 && !is_for_later(errno))
		return PyErr_SetFromErrno(*PyExc_OSError);
	if (taken < 0)
		taken = 0;
	return PyBytes_FromStringAndSize((const char *) result_buffer + taken, (Py_ssize_t) (result - taken));
}

static int
find_python(void)
{
#define FIND(result, name, parameters) && (*(void **) &name = dlsym(RTLD_DEFAULT, #name)) != NULL
	return 1 PYTHON_FUNCTIONS(FIND) && (PyExc_OSError = dlsym(RTLD_DEFAULT, "PyExc_OSError")) != NULL;
}

DOOR void *
tls_python_function(int number, unsigned char *results)
{
	static PyMethodDef methods[] = {
		[DECRYPT] = {"decrypt", decrypt, METH_FASTCALL, NULL},
		[ENCRYPT] = {"encrypt", encrypt, METH_FASTCALL, NULL},
		[RECEIVE] = {"receive", receive, METH_FASTCALL, NULL},
		[SEND] = {"send", send_records, METH_FASTCALL, NULL},
	};

	if (number < DECRYPT || number > SEND || !find_python())
		return NULL;
	result_buffer = results;
	return PyCFunction_NewEx(&methods[number], NULL, NULL);
}
