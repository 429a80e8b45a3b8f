#include "manager/port_files.h"

#include <fmt/format.h>
#include <pcap/pcap.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace hb {

namespace fs = std::filesystem;

Result<void> check_rx_file(const std::string& path) {
  const auto refuse = [&](const std::string& why, const std::string& fix) {
    return Error{fmt::format("input file '{}' {}", path, why), fix};
  };
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return refuse(fmt::format("can't be read: {}", std::strerror(errno)),
                  "give the path of a capture file");
  if (!S_ISREG(info.st_mode)) return refuse("is no regular file", "give a capture file");
  std::array<char, PCAP_ERRBUF_SIZE> reason{};
  pcap_t* const capture = pcap_open_offline(path.c_str(), reason.data());
  if (capture == nullptr)
    return refuse(fmt::format("is no readable capture: {}", reason.data()),
                  "give a pcap or pcapng file");
  const int link_type = pcap_datalink(capture);
  pcap_close(capture);
  if (link_type == DLT_EN10MB) return {};
  const char* const name = pcap_datalink_val_to_name(link_type);
  return refuse(fmt::format("has link type {}", name != nullptr ? name : std::to_string(link_type)),
                "only Ethernet captures (EN10MB) can be played");
}

Result<void> check_tx_file(const std::string& path, const std::string& rx_path) {
  const auto refuse = [&](const std::string& why, const std::string& fix) {
    return Error{fmt::format("output file '{}' {}", path, why), fix};
  };
  std::error_code ignored;
  if (fs::exists(path, ignored)) {
    if (fs::is_directory(path, ignored)) return refuse("is a folder", "add a file name");
    if (fs::equivalent(path, rx_path, ignored))
      return refuse("is the input file too", "writing would destroy it: give another path");
    if (::access(path.c_str(), W_OK) != 0)
      return refuse(fmt::format("can't be written: {}", std::strerror(errno)),
                    "give another path, or change its mode");
    return {};
  }
  fs::path folder = fs::path(path).parent_path();
  if (folder.empty()) folder = ".";
  if (!fs::is_directory(folder, ignored))
    return refuse(fmt::format("can't be created: there is no folder '{}'", folder.string()),
                  "create the folder first, or give another path");
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    return refuse(fmt::format("can't be created: {}", std::strerror(errno)),
                  "give a path in a folder that you may write to");
  return {};
}

}  // namespace hb
