/*
 * key_codec_network.c
 *	  Key encoding of inet and cidr, which are one type to their operator class.
 *
 * Order: family; the network parts up to the shorter netmask; netmask length;
 * the whole address.  The network part with zeros after it, then the netmask
 * length, orders the same and has a fixed width.  The host part follows only
 * where the netmask leaves one.
 */
#include "key_codec_types.h"

#include <sys/socket.h>

#include "fmgr.h"
#include "utils/inet.h"
#include "varatt.h"

#define FAMILY_IPV4		4
#define FAMILY_IPV6		6

void
key_encode_inet(StringInfo out, const KeyCodec *codec, Datum value)
{
	inet	   *address = DatumGetInetPP(value);
	int			size = ip_addrsize(address);
	int			bits = ip_bits(address);
	uint8	   *network;

	key_append_uint8(out, ip_family(address) == PGSQL_AF_INET ? FAMILY_IPV4 : FAMILY_IPV6);
	network = key_reserve(out, size);
	memcpy(network, ip_addr(address), size);
	for (int i = bits / BITS_PER_BYTE; i < size; i++)
	{
		int			kept = Max(bits - i * BITS_PER_BYTE, 0);

		network[i] &= (uint8) (0xFF00 >> kept);
	}
	key_append_uint8(out, bits);
	if (bits < ip_maxbits(address))
		memcpy(key_reserve(out, size), ip_addr(address), size);

	if ((Pointer) address != DatumGetPointer(value))
		pfree(address);
}
