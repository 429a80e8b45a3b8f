// What both twins know of an SA beside its keys: header template, lengths, flags; drop reasons.
#ifndef HB_KERNELS_ESP_LAYOUT_H
#define HB_KERNELS_ESP_LAYOUT_H

#include "platform.h"

#define HB_ESP_ESN 1u          ///< 64-bit sequence numbers, RFC 4304
#define HB_ESP_NOECN 2u        ///< RFC 6040 compatibility mode
#define HB_ESP_CLEAR_DF 4u     ///< outer DF is 0, else as the inner one
#define HB_ESP_DECAP_DSCP 8u   ///< the inner DSCP becomes the outer one
#define HB_ESP_ZERO_DSCP 16u   ///< the outer DSCP is 0, else as the inner one
#define HB_ESP_GCM 32u         ///< RFC 4106, else CBC with HMAC
#define HB_ESP_SHA256 64u      ///< with CBC: HMAC-SHA-256-128, else HMAC-SHA1-96
#define HB_ESP_DECREMENT 128u  ///< the inner TTL goes down by one (RFC 4301 section 5.1.2, note 2)

#define HB_ESP_PROTOCOL 50u
#define HB_ESP_HEADER_BYTES 8u  ///< SPI and sequence number
#define HB_ESP_MAX_ICV 16u
/// IPv6 header, SPI and sequence number, CBC's IV: as much as a packet grows in front.
#define HB_ESP_MAX_FRONT 64u
/// The device moves a packet that it seals back by as much, so that it leaves in whole lines; there
/// is to be room for that, whatever device it is.
#define HB_ESP_MOVED_BACK 15u
/// Padding to 16, its length, next header, ICV, and that: as much as it grows behind.
#define HB_ESP_MAX_BACK (33u + HB_ESP_MOVED_BACK)

/// One SA's fixed part. Integers are in the host's order.
typedef struct HbEspSa {
  /// IPv4 (20) or IPv6 header; length, TOS, identification are 0, the checksum is right for that.
  u8 outer[40];
  u32 outer_bytes;  ///< 20 or 40
  u32 spi;
  u32 flags;        ///< HB_ESP_*
  u32 iv_bytes;     ///< on the wire: 16 with CBC, 8 with GCM
  u32 icv_bytes;    ///< 12 or 16
  u32 block_bytes;  ///< what is sealed is a multiple of this: 16 with CBC, 4 with GCM
} HbEspSa;

HB_STATIC_ASSERT(sizeof(HbEspSa) == 64, esp_sa_size);

/// Drop reasons that need the packet's plain bytes: nf_lib/esp/drop.h's numbers.
#define HB_ESP_DROP_BAD_ICV 8u
#define HB_ESP_DROP_BAD_PADDING 9u
#define HB_ESP_DROP_BAD_INNER 10u
#define HB_ESP_DROP_CONGESTION 12u
#define HB_ESP_DROP_DUMMY 13u
#define HB_ESP_DROP_TTL_EXPIRED 15u

#endif  // HB_KERNELS_ESP_LAYOUT_H
