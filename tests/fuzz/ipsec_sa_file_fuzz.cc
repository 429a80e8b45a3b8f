// Any text as an SA file: it is read or refused with a message, and no message holds its key.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "nfs/ipsec/sa_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file =
      hb::ipsec::parse_sa_file("f", std::string_view(reinterpret_cast<const char*>(data), size));
  if (!file) {
    if (file.error().what.empty() || file.error().fix.empty()) std::abort();
    return 0;
  }
  if (file->sas.empty()) std::abort();
  for (const hb::ipsec::SaConfig& sa : file->sas) {
    if (sa.cipher_key_bytes != 16 && sa.cipher_key_bytes != 32) std::abort();
    if (sa.replay_window > hb::ipsec::kMaxWindow || sa.spi == 0) std::abort();
    if (sa.src.version != sa.dst.version) std::abort();
  }
  return 0;
}
