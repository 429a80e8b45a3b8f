// decode_packet over any bytes: every range that it reports lies inside the frame.
#include <cstdint>
#include <cstdlib>

#include "nf_lib/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const hb::DecodedPacket packet = hb::decode_packet({data, size});
  if (!packet.ok()) return 0;
  const auto inside = [size](std::uint32_t offset, std::uint32_t length) {
    return offset <= size && length <= size - offset;
  };
  if (!inside(packet.ip_offset, 20)) std::abort();
  if (!inside(packet.ip_payload_offset, packet.ip_payload_length)) std::abort();
  if (packet.l4 != hb::L4Kind::kNone && !inside(packet.l4_payload_offset, packet.l4_payload_length))
    std::abort();
  return 0;
}
