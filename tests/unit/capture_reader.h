// Reads whole capture files for unit tests: pcap and pcapng, little endian, Ethernet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace hb::test {

using Frame = std::vector<std::uint8_t>;

/// The repository's tests/data folder.
inline std::filesystem::path data_dir() {
  // Compilers may be told to write this file's name relative to the build folder.
  const char* const source = std::getenv("HB_SOURCE_DIR");
  if (source != nullptr) return std::filesystem::path(source) / "tests/data";
  return std::filesystem::path(__FILE__).parent_path().parent_path() / "data";
}

/// The whole file; empty when it cannot be read.
inline std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// All packets of one capture, in order; an unknown format gives none.
inline std::vector<Frame> read_capture(const std::filesystem::path& path) {
  const std::vector<std::uint8_t> data = read_bytes(path);
  const auto u32_at = [&](std::size_t at) {
    std::uint32_t v = 0;
    if (at + 4 <= data.size()) std::memcpy(&v, data.data() + at, 4);
    return v;
  };
  std::vector<Frame> frames;
  const auto add = [&](std::size_t at, std::size_t length) {
    if (at + length > data.size()) return false;
    frames.emplace_back(data.begin() + static_cast<std::ptrdiff_t>(at),
                        data.begin() + static_cast<std::ptrdiff_t>(at + length));
    return true;
  };
  if (u32_at(0) == 0x0a0d0d0a) {
    for (std::size_t at = 0; at + 12 <= data.size();) {
      const std::uint32_t length = u32_at(at + 4);
      if (length < 12) break;
      if (u32_at(at) == 6 && !add(at + 28, u32_at(at + 20))) break;
      at += length;
    }
  } else if (u32_at(0) == 0xa1b2c3d4) {
    for (std::size_t at = 24; at + 16 <= data.size(); at += 16 + u32_at(at + 8)) {
      if (!add(at + 16, u32_at(at + 8))) break;
    }
  }
  return frames;
}

/// Every capture file of tests/data/pcap, sorted by name.
inline std::vector<std::filesystem::path> capture_files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(data_dir() / "pcap")) {
    const std::string suffix = entry.path().extension().string();
    if (suffix == ".pcap" || suffix == ".pcapng") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace hb::test
