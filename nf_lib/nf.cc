#include "nf_lib/nf.h"

namespace hb {
namespace {

Error nothing_to_reload() {
  return Error{"this NF has nothing that can be reloaded",
               "stop it, and start it with new options"};
}

}  // namespace

Result<std::string> NetworkFunction::reload(std::span<const std::string> /*args*/) {
  return nothing_to_reload();
}

Result<MemoryFile> GpuNetworkFunction::table_file() {
  const Result<std::vector<std::byte>> bytes = table();
  if (!bytes) return bytes.error();
  return MemoryFile::make("hummingbird-table", *bytes);
}

Result<std::string> GpuNetworkFunction::reload(std::span<const std::string> /*args*/) {
  return nothing_to_reload();
}

}  // namespace hb
