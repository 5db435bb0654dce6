/* The types that the map layouts are made of, for BPF C and for C++.
 *
 * Byte order is in the type: be16, be32 and struct addr are as on the wire, plain integers are in host order. In C be16
 * is the kernel's __be16; in C++ it is a class without implicit conversion (`be16::from_host(53)`), so that a port in
 * the wrong order does not compile.
 */
#ifndef SLUICE_MAPS_TYPES_H
#define SLUICE_MAPS_TYPES_H

#ifdef __cplusplus

#include <linux/types.h>

#include <bit>
#include <cassert>
#include <compare>
#include <cstdint>

namespace sluice::maps
{

struct be16 {
	__u16 wire;
	static constexpr be16 from_host(std::uint16_t value)
	{
		return { std::endian::native == std::endian::little ? __builtin_bswap16(value) : value };
	}
	[[nodiscard]] constexpr std::uint16_t to_host() const
	{
		return from_host(wire).wire;
	}
	auto operator<=>(const be16 &) const = default;
};

struct be32 {
	__u32 wire;
	static constexpr be32 from_host(std::uint32_t value)
	{
		return { std::endian::native == std::endian::little ? __builtin_bswap32(value) : value };
	}
	[[nodiscard]] constexpr std::uint32_t to_host() const
	{
		return from_host(wire).wire;
	}
	auto operator<=>(const be32 &) const = default;
};

} /* namespace sluice::maps */

/* Layouts stand between these two, so that their structs are sluice::maps::x in C++ and struct x in C. */
#define SLUICE_LAYOUTS_BEGIN   \
	namespace sluice::maps \
	{
#define SLUICE_LAYOUTS_END }

#else /* C, for the BPF target: vmlinux.h has been included before */

typedef __be16 be16;
typedef __be32 be32;
#define static_assert _Static_assert
#define SLUICE_LAYOUTS_BEGIN
#define SLUICE_LAYOUTS_END

#endif

SLUICE_LAYOUTS_BEGIN

/* An IPv6 address, or an IPv4 address as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). Aligned so that it compares and copies as
 * two 64-bit words. */
struct addr {
	be32 word[4];
} __attribute__((aligned(8)));
static_assert(sizeof(struct addr) == 16, "struct addr is map ABI");

SLUICE_LAYOUTS_END

#endif
