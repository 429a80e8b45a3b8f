#include "manager/generator_control.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

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
