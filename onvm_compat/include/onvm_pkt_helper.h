/* Looking into packets and making them. Headers are looked for at fixed places: Ethernet without
 * VLAN, IPv4 without options. What is not wholly in the packet is not found.
 */
#ifndef ONVM_PKT_HELPER_H
#define ONVM_PKT_HELPER_H

#include <inttypes.h>
#include <stdio.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "onvm_common.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IP_PROTOCOL_TCP 6
#define IP_PROTOCOL_UDP 17
#define PROTO_UDP 0x11

#define SUPPORTS_IPV4_CHECKSUM_OFFLOAD (1 << 0)
#define SUPPORTS_TCP_CHECKSUM_OFFLOAD (1 << 1)
#define SUPPORTS_UDP_CHECKSUM_OFFLOAD (1 << 2)

#define IPV4_VERSION_IHL 69
#define IPV4_TTL 64
#define UDP_SAMPLE_SRC_PORT 12345
#define UDP_SAMPLE_DST_PORT 54321
#define IPV4_SAMPLE_SRC (uint32_t) RTE_IPV4(10, 0, 0, 1)
#define IPV4_SAMPLE_DST (uint32_t) RTE_IPV4(10, 0, 0, 2)
#define SAMPLE_NIC_PORT 0

/* The nine flag bits of a TCP header: NS is the low bit of data_off. */
#define ONVM_PKT_GET_FLAGS(tcp, flags) \
  ((flags) = (uint16_t)((((tcp)->data_off & 1) << 8) | (tcp)->tcp_flags))
#define ONVM_PKT_SET_FLAGS(tcp, flags)                                            \
  do {                                                                            \
    (tcp)->tcp_flags = (uint8_t)((flags)&0xff);                                   \
    (tcp)->data_off = (uint8_t)(((tcp)->data_off & 0xfe) | (((flags) >> 8) & 1)); \
  } while (0)

/* --- finding headers: NULL if there is none ----------------------------------------------------
 */

struct rte_ether_hdr *onvm_pkt_ether_hdr(struct rte_mbuf *pkt);
struct rte_ipv4_hdr *onvm_pkt_ipv4_hdr(struct rte_mbuf *pkt);
struct rte_tcp_hdr *onvm_pkt_tcp_hdr(struct rte_mbuf *pkt);
struct rte_udp_hdr *onvm_pkt_udp_hdr(struct rte_mbuf *pkt);
int onvm_pkt_is_ipv4(struct rte_mbuf *pkt);
int onvm_pkt_is_tcp(struct rte_mbuf *pkt);
int onvm_pkt_is_udp(struct rte_mbuf *pkt);

/* --- printing, to stdout -----------------------------------------------------------------------
 */

void onvm_pkt_print(struct rte_mbuf *pkt);
void onvm_pkt_print_tcp(struct rte_tcp_hdr *hdr);
void onvm_pkt_print_udp(struct rte_udp_hdr *hdr);
void onvm_pkt_print_ipv4(struct rte_ipv4_hdr *hdr);
void onvm_pkt_print_ether(struct rte_ether_hdr *hdr);

/* --- addresses as text -------------------------------------------------------------------------
 */

/** @param dest  host byte order. @return 0, or -1 if `ip` is no dotted quad */
int onvm_pkt_parse_ip(char *ip, uint32_t *dest);
/** @param dest  16 bytes. @param ip  host byte order */
void onvm_pkt_parse_char_ip(char *dest, uint32_t ip);
/** @param dest  6 bytes. @return 0, or -1 */
int onvm_pkt_parse_mac(char *mac, uint8_t *dest);

/* --- changing addresses: 0, or -1 for a bad packet or port -------------------------------------
 */

/** Destination becomes the old source, source the address of dst_port. */
int onvm_pkt_swap_src_mac_addr(struct rte_mbuf *pkt, uint16_t dst_port, struct port_info *ports);
/** Source becomes the old destination, destination the address of src_port. */
int onvm_pkt_swap_dst_mac_addr(struct rte_mbuf *pkt, uint16_t src_port, struct port_info *ports);
/** Source and destination become the addresses of the two ports. */
int onvm_pkt_set_mac_addr(struct rte_mbuf *pkt, uint16_t src_port, uint16_t dst_port,
                          struct port_info *ports);
int onvm_pkt_swap_ether_hdr(struct rte_ether_hdr *hdr);
int onvm_pkt_swap_ip_hdr(struct rte_ipv4_hdr *hdr);
int onvm_pkt_swap_tcp_hdr(struct rte_tcp_hdr *hdr);

/* --- checksums ---------------------------------------------------------------------------------
 */

/** Puts right the checksums of IPv4 and of TCP or UDP. */
void onvm_pkt_set_checksums(struct rte_mbuf *pkt);
/** @return SUPPORTS_... of the port: 0, as ports of this platform take no offloads */
uint32_t onvm_pkt_get_checksum_offload_flags(uint8_t port);

/* --- making packets ----------------------------------------------------------------------------
 */

/* All return 0. Ports, addresses and lengths are in host byte order. */
int onvm_pkt_fill_udp(struct rte_udp_hdr *hdr, uint16_t src_port, uint16_t dst_port,
                      uint16_t payload_bytes);
int onvm_pkt_fill_ipv4(struct rte_ipv4_hdr *hdr, uint32_t src, uint32_t dst, uint8_t protocol);
int onvm_pkt_fill_ether(struct rte_ether_hdr *hdr, int port, struct rte_ether_addr *dst_mac,
                        struct port_info *ports);

/** Packets with these headers and this payload; lengths and checksums are filled in.
 * @return NULL if there is no free packet or the whole does not fit one */
struct rte_mbuf *onvm_pkt_generate_tcp(struct rte_mempool *pool, struct rte_tcp_hdr *tcp,
                                       struct rte_ipv4_hdr *ip, struct rte_ether_hdr *eth,
                                       uint8_t *options, size_t option_bytes, uint8_t *payload,
                                       size_t payload_bytes);
struct rte_mbuf *onvm_pkt_generate_udp(struct rte_mempool *pool, struct rte_udp_hdr *udp,
                                       struct rte_ipv4_hdr *ip, struct rte_ether_hdr *eth,
                                       uint8_t *payload, size_t payload_bytes);
struct rte_mbuf *onvm_pkt_generate_udp_sample(struct rte_mempool *pool);

#ifdef __cplusplus
}
#endif

#endif /* ONVM_PKT_HELPER_H */
