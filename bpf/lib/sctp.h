/* The checksum of SCTP (RFC 9260, 6.8 and appendix A): a CRC32c over the whole packet, ports included, so that they cannot be
 * changed by a sum as elsewhere (lib/nat.h). But a CRC is linear: that of a packet with other ports differs by the CRC of
 * the difference, which is the difference times x^(8 * length) modulo the CRC's polynomial. So nothing but the length
 * is read of the packet; it takes up to 16 multiplications.
 *
 * Polynomials as in the CRC itself: the lowest power is the highest bit. */
#ifndef SLUICE_BPF_SCTP_H
#define SLUICE_BPF_SCTP_H

#include "lib/common.h"

#define CRC32C_POLYNOMIAL 0x82f63b78 /* without x^32 */
#define SCTP_LENGTH_BITS  16

/* x^(8 * 2^i) */
static const __u32 crc32c_powers[SCTP_LENGTH_BITS] = {
	0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
	0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
};

/* Modulo the polynomial. Without branches, each of which the verifier would follow 32 times. */
__noinline __u32 crc32c_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int i = 0; i < 32; i++) {
		product ^= b & -(a >> 31);
		a <<= 1;
		b = b >> 1 ^ (CRC32C_POLYNOMIAL & -(b & 1));
	}
	return product;
}

/* By how much the checksum of a packet of `length` bytes changes when its first four, the ports, change by `diff`; both as
 * words in memory, which a little-endian machine has the right way around. */
static __always_inline __u32 sctp_checksum_diff(__u32 diff, __u32 length)
{
	for (int i = 0; i < SCTP_LENGTH_BITS; i++)
		if (length >> i & 1)
			diff = crc32c_multiply(crc32c_powers[i], diff);
	return diff;
}

#endif
