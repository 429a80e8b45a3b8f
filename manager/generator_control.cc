#include "manager/generator_control.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "manager/control_server.h"
#include "manager/generator_port.h"

namespace hb {
namespace {

using nlohmann::json;

Result<std::int64_t> number_of(const json& message, const char* key, std::int64_t most) {
  const auto value = message.value(key, std::int64_t{0});
  if (value >= 0 && value <= most) return value;
  return Error{fmt::format("{} {} is out of range", key, value), fmt::format("give 0 to {}", most)};
}

/// Writing to a file that a port plays would cut it off, or destroy a capture of payloads.
Result<void> check_is_no_ports(const Platform& platform, const std::string& path) {
  std::error_code none;  // of one that is yet to be made
  for (const Port& port : platform.ports)
    for (const std::string& file : {port.spec.rx_file, port.spec.tx_file})
      if (!file.empty() && std::filesystem::equivalent(path, file, none))
        return Error{fmt::format("'{}' is a file of --port '{}'", path, port.spec.text),
                     "writing would destroy it: give another path"};
  return {};
}

}  // namespace

json generate(Platform& platform, const json& message) {
  const auto port =
      number_of(message, "port", static_cast<std::int64_t>(platform.ports.size()) - 1);
  if (!port) return refusal(port.error());
  const Port& named = platform.ports[static_cast<std::size_t>(*port)];
  GeneratorPort* const generator = named.generator.get();
  if (named.spec.kind != PortKind::kGen)
    return refusal(Error{fmt::format("port {} is no gen: port", *port),
                         "hbctl ports shows what each port is"});
  const auto rate = number_of(message, "rate", kMostGeneratedPps);
  if (!rate) return refusal(rate.error());
  const auto sample = number_of(message, "sample", GeneratorSample::kMostPackets);
  if (!sample) return refusal(sample.error());
  const std::string path = message.value("write", "");
  if (!message.contains("rate") && !message.contains("sample") && path.empty())
    return refusal(Error{"nothing is asked of the port", "give --rate, --sample or --write"});
  if (const auto free = check_is_no_ports(platform, path); !free) return refusal(free.error());
  if (message.contains("rate")) generator->set_rate(static_cast<std::uint32_t>(*rate));
  if (message.contains("sample")) generator->begin_sample(static_cast<std::uint32_t>(*sample));
  json answer = {{"ok", true}, {"rate_pps", generator->rate_pps()}};
  if (!path.empty()) {
    const Result<std::uint32_t> written = generator->write_sample(path);
    if (!written) return refusal(written.error());
    answer["written"] = *written;
  }
  return answer;
}

}  // namespace hb
