// Feeds the control thread what any process of the same user can send to its socket: messages that
// make sense, with fields that do not; bytes that are no message; descriptors; connections that
// close, or never read. It must go on, in time, and give back each descriptor and each place.
#include <fcntl.h>
#include <rte_version.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "manager/controller.h"
#include "tests/fuzz/fuzz_platform.h"

namespace hb::test {
namespace {

using nlohmann::json;

constexpr std::size_t kClients = 4;
constexpr int kMostCommands = 48;

std::size_t n_descriptors() {
  return static_cast<std::size_t>(std::distance(
      std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator{}));
}

/// What is there before the first message of an input.
struct World {
  World() {
    spdlog::set_level(spdlog::level::off);
    // Nobody is to be killed: this process is what registers.
    p.options.nf_timeout_ms = p.options.drain_timeout_ms = 1u << 30;
    p.flow_memory = std::move(*FlowMemory::create(std::size_t{64} << 20));
    for (auto& classifier : p.classifiers)
      classifier = std::move(*Classifier::create(p.flow_memory->socket_id(), kMaxFlowRules));
    p.endpoint_service = p.control->registry().endpoint_service;
    for (auto& service : p.endpoint_service) service.store(kMaxServices);
    folder = runtime_directory(p.options.prefix);
    std::ofstream(folder + "/routes.csv") << "*, rx, a\nodd, a, b\n*, a, tx\nodd, b, tx\n";
    std::ofstream(folder + "/flows.csv") << "odd, *, *, *, 54, udp\n";
    mkfifo((folder + "/pipe").c_str(), 0600);
    const auto* const bytes = reinterpret_cast<const std::byte*>(&p.control->registry());
    registry.assign(bytes, bytes + sizeof(Registry));
    reset();
  }
  /// As if the manager had just been started, and a gpu_host were ready that never answers.
  void reset() {
    for (const auto& instance : p.instances)
      if (instance->alive()) close(instance->pidfd);
    p.instances.clear();
    p.services.clear();
    p.syncers.clear();
    p.gpu = {.state = GpuStatus::State::kReady,
             .backend = {},
             .device = {},
             .memory_mode = {},
             .why = {}};
    p.routes.reset();
    p.flows.reset();
    p.types = {};
    p.classifier = 0;
    p.last_switch = {};
    p.flow.n_instances.store(0);
    for (auto& word : p.flow.fill_contexts) word.store(0);
    run_tx_thread();
    std::memcpy(static_cast<void*>(&p.control->registry()), registry.data(), registry.size());
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      if (entry.path().filename().string().rfind("surviving-", 0) == 0)
        std::filesystem::remove(entry.path());
  }
  /// Until its rings are empty, and fill rings full.
  void run_tx_thread() const {
    p.flow.quit.store(true);
    p.tx_threads.front()->run();
    p.flow.quit.store(false);
  }
  Platform& p = FuzzPlatform::instance().p;
  std::string folder;
  std::vector<std::byte> registry;
};

class Client {
 public:
  ~Client() { disconnect(); }
  void connect(const std::string& prefix) {
    disconnect();
    fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    control_socket_path(prefix).copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) disconnect();
  }
  void disconnect() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  /// @param kinds  two bits for each of up to four descriptors: none, a pidfd, a file, a pipe's end
  void send(const std::string& text, std::uint8_t kinds) const {
    std::array<int, 4> fds{};
    std::size_t n = 0;
    for (; kinds != 0; kinds >>= 2) {
      int ends[2] = {-1, -1};
      if ((kinds & 3) == 1) fds[n++] = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
      if ((kinds & 3) == 2) fds[n++] = open("/dev/null", O_RDONLY | O_CLOEXEC);
      if ((kinds & 3) == 3 && pipe2(ends, O_CLOEXEC) == 0) {
        fds[n++] = ends[0];
        close(ends[1]);
      }
    }
    iovec part{const_cast<char*>(text.data()), text.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(fds))] = {};
    if (n != 0) {
      header.msg_control = control;
      header.msg_controllen = CMSG_SPACE(n * sizeof(int));
      cmsghdr* const c = CMSG_FIRSTHDR(&header);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(n * sizeof(int));
      std::memcpy(CMSG_DATA(c), fds.data(), n * sizeof(int));
    }
    if (fd_ >= 0) (void)sendmsg(fd_, &header, MSG_NOSIGNAL);
    for (std::size_t i = 0; i < n; ++i) close(fds[i]);
  }
  void read_all() const {
    std::array<char, 4096> bytes;
    while (fd_ >= 0 && recv(fd_, bytes.data(), bytes.size(), MSG_TRUNC) > 0) {
    }
  }

 private:
  int fd_ = -1;
};

/// Messages that the programs send, but for the numbers.
json message_like(const World& world, std::uint8_t kind, std::uint8_t which) {
  static constexpr std::array kNames = {"a", "b", "a/0", "a/1", "b/0", "c"};
  const std::string name = kNames[which % kNames.size()];
  json nf = {{"op", "register"},         {"layout_hash", layout_hash()},
             {"dpdk", rte_version()},    {"role", "nf"},
             {"pid", getpid()},          {"service", kNames[which % 2]},
             {"program", "p"},           {"compute", "cpu"},
             {"choice", which >> 4 & 3}, {"supervisor", getpid()}};
  switch (kind % 20) {
    case 0:
    case 1:
      return nf;
    case 2:
      nf["originates"] = nf["idempotent"] = true;
      nf["reasons"] = {"one", "two"};
      nf["sets_types"] = {"odd"};
      nf["surviving_bytes"] = which;
      nf["replaces"] = getpid();
      nf["number"] = which;
      return nf;
    case 3:
      nf["compute"] = "gpu";
      return nf;
    case 4:
      nf["role"] = (which & 1) != 0 ? "supervisor" : "gpu_host";
      nf["restarts"] = true;
      nf["service"] = "a";
      return nf;
    case 5:
      return {{"op", "ready"}, {"kernel", "forward"}, {"table", world.folder + "/pipe"}};
    case 6:
      return {{"op", "ready"}, {"sets_up", (which & 1) != 0}};
    case 7:
      return {{"op", "bye"}, {"process_goes_on", (which & 1) != 0}};
    case 8:
      return {{"op", which % 2 != 0 ? "stop" : "set_up"}};
    case 9:
      return {
          {"op", "child_ended"}, {"pid", getpid()}, {"exit_status", which}, {"signal", which & 15}};
    case 10:
      return {{"op", "replace_table"}, {"table", "/dev/zero"}};
    case 11:
      return {{"op", "reloaded"}, {"id", which}, {"ok", true}};
    case 12:
      return {{"op", which % 2 != 0 ? "status" : "audit"}};
    case 13:
      return {{"op", "gpu_resize"}, {"service", name}, {"n", which}};
    case 14:
      return {{"op", "reload_nf"}, {"service", name}, {"args", {"--every", "3"}}};
    case 15: {
      static constexpr std::array kFiles = {"/routes.csv", "/flows.csv", "/pipe",
                                            "/none",       "",           "/lock"};
      return {{"op", "change"},
              {"what", (which & 8) != 0 ? "flows" : "routes"},
              {"path", world.folder + kFiles[(which & 7) % kFiles.size()]}};
    }
    case 16: {
      static constexpr std::array kEdits = {"add", "replace", "del"};
      return {{"op", "change"},
              {"what", kEdits[which % 3]},
              {"type", which % 2 != 0 ? "*" : "odd"},
              {"current", "a"},
              {"next", name}};
    }
    case 17:
      return {{"op", "stop_service"}, {"service", name}};
    case 18:
      return {{"op", "scale"}, {"service", name}, {"instances", which & 7}};
    default:
      return {{"op", "restart"}, {"service", name}};
  }
}

json value_like(const World& world, Bytes& input) {
  const auto kind = input.take<std::uint8_t>();
  switch (kind % 12) {
    case 0:
      return nullptr;
    case 1:
      return (kind & 16) != 0;
    case 2:
      return input.take<std::int64_t>();
    case 3:
      return input.take<std::uint64_t>();
    case 4:
      return input.take<std::uint8_t>();
    case 5:
      return -static_cast<int>(input.take<std::uint8_t>());
    case 6:
      return 1e300 * kind;
    case 7:
      return std::string(input.take<std::uint16_t>(), 'x');
    case 8: {
      static constexpr std::array kWords = {"cpu", "gpu", "a", "odd", "rx", "*", "secondary", "p"};
      return kWords[input.take<std::uint8_t>() % kWords.size()];
    }
    case 9:
      return std::vector<std::string>(input.take<std::uint8_t>(), "word");
    case 10:
      return {{"a", {1, "x", nullptr}}};
    default:
      return world.folder + "/pipe";
  }
}

std::string text_of(const World& world, Bytes& input) {
  static constexpr std::array kKeys = {"op",
                                       "service",
                                       "program",
                                       "compute",
                                       "choice",
                                       "supervisor",
                                       "pid",
                                       "reasons",
                                       "originates",
                                       "idempotent",
                                       "sets_types",
                                       "names_services",
                                       "replaces",
                                       "number",
                                       "surviving_bytes",
                                       "work_groups",
                                       "isolation",
                                       "key_bytes",
                                       "key_offset",
                                       "role",
                                       "restarts",
                                       "restart_in_ms",
                                       "crash_loop",
                                       "table",
                                       "source",
                                       "source_name",
                                       "kernel",
                                       "id",
                                       "ok",
                                       "args",
                                       "what",
                                       "path",
                                       "type",
                                       "current",
                                       "next",
                                       "instances",
                                       "n",
                                       "signal",
                                       "exit_status",
                                       "process_goes_on",
                                       "dpdk",
                                       "layout_hash"};
  const auto kind = input.take<std::uint8_t>();
  const auto which = input.take<std::uint8_t>();
  json message = message_like(world, kind, which);
  for (int n = kind >> 6; n > 0; --n) {
    const std::string key = kKeys[input.take<std::uint8_t>() % kKeys.size()];
    message[key] = value_like(world, input);
  }
  return message.dump();
}

void run(const std::uint8_t* data, std::size_t size) {
  static World world;
  const std::size_t before = n_descriptors();
  {
    Controller controller(world.p);
    if (!controller.start()) std::abort();
    std::array<Client, kClients> clients;
    for (Client& client : clients) client.connect(world.p.options.prefix);
    Bytes input(data, size);
    for (int n = 0; n < kMostCommands && !input.empty(); ++n) {
      const auto command = input.take<std::uint8_t>();
      const Client& client = clients[command >> 4 & (kClients - 1)];
      switch (command & 15) {
        case 0:
          clients[command >> 4 & (kClients - 1)].connect(world.p.options.prefix);
          break;
        case 1:
          clients[command >> 4 & (kClients - 1)].disconnect();
          break;
        case 2: {
          const auto kinds = input.take<std::uint8_t>();
          client.send(input.take_text(input.take<std::uint16_t>()), kinds);
          break;
        }
        case 3:  // deep, or long, in few bytes
          client.send(std::string(input.take<std::uint16_t>() * std::size_t{3}, '['), 0);
          break;
        case 4:  // often, and never read
          for (int i = 0; i < 8; ++i) client.send(R"({"op":"status"})", 0);
          break;
        case 5:
        case 6:
          client.read_all();
          break;
        case 7:
          client.send(text_of(world, input), input.take<std::uint8_t>());
          break;
        default:
          client.send(text_of(world, input), 1);
          break;
      }
      controller.turn(std::chrono::microseconds(0));
      world.run_tx_thread();
    }
    for (int n = 0; n < 4; ++n) controller.turn(std::chrono::microseconds(0));
    for (Client& client : clients) client.disconnect();
    for (int n = 0; n < 4; ++n) controller.turn(std::chrono::microseconds(0));
  }
  world.reset();
  if (n_descriptors() != before) std::abort();
}

}  // namespace
}  // namespace hb::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  hb::test::run(data, size);
  return 0;
}
