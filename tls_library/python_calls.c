/*
 * python_calls.c
 *	  decrypt and encrypt as built-in functions of Python.
 *
 * Each takes the session's handle and bytes, at most INPUT_BYTES_MAX of them
 * (src/borealis/tls/library.py), and returns bytes.  Where there is more to say,
 * an error or the end of the peer's side, it returns the number that the door of
 * the same purpose returns, and what belongs to it is in the result buffer.
 */
#include "doors.h"

#include <dlfcn.h>

#include "python_calls.h"

#define DECLARE(result, name, parameters) static result (*name) parameters;
PYTHON_FUNCTIONS(DECLARE)

typedef int64_t (*SessionCall) (Session *session, const unsigned char *data, size_t bytes, unsigned char *out);

static unsigned char *result_buffer;

static PyObject *
call(SessionCall function, PyObject *const *arguments, Py_ssize_t count)
{
	Session    *session;
	char	   *data;
	Py_ssize_t	bytes;
	int64_t		result;

	if (count != 2)
	{
		PyErr_BadArgument();
		return NULL;
	}
	session = PyLong_AsVoidPtr(arguments[0]);
	if ((session == NULL && PyErr_Occurred()) || PyBytes_AsStringAndSize(arguments[1], &data, &bytes) < 0)
		return NULL;
	result = function(session, (const unsigned char *) data, (size_t) bytes, result_buffer);
	if (result < 0 || result >= RESULT_PEER_CLOSED)
		return PyLong_FromLongLong(result);
	return PyBytes_FromStringAndSize((const char *) result_buffer, (Py_ssize_t) result);
}

static PyObject *
decrypt(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
	(void) self;
	return call(tls_session_decrypt, arguments, count);
}

static PyObject *
encrypt(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
	(void) self;
	return call(tls_session_encrypt, arguments, count);
}

static int
find_python(void)
{
#define FIND(result, name, parameters) && (*(void **) &name = dlsym(RTLD_DEFAULT, #name)) != NULL
	return 1 PYTHON_FUNCTIONS(FIND);
}

DOOR void *
tls_python_function(int is_decrypt, unsigned char *results)
{
	static PyMethodDef methods[] = {
		{"encrypt", encrypt, METH_FASTCALL, NULL},
		{"decrypt", decrypt, METH_FASTCALL, NULL},
	};

	if (!find_python())
		return NULL;
	result_buffer = results;
	return PyCFunction_NewEx(&methods[is_decrypt != 0], NULL, NULL);
}
