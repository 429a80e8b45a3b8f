// Controller: what happens to the GPU's slices while they run. gpu_host moves work-groups and
// replaces tables; who may have which work-group is decided here, so that after a death of gpu_host
// it is known whose packets lay in which queue.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "manager/controller.h"
#include "manager/gpu_slices.h"

namespace hb {
namespace {

using nlohmann::json;

/// Which n work-groups a slice gives up: from the CPUSyncer that has most of it, the last first, so
/// that every CPUSyncer keeps some.
std::vector<std::uint32_t> choose_leaving(std::vector<std::uint32_t> groups, std::uint32_t n,
                                          std::uint32_t n_syncers) {
  std::vector<std::uint32_t> count(n_syncers);
  for (const std::uint32_t group : groups) ++count[group % n_syncers];
  std::vector<std::uint32_t> leaving;
  while (leaving.size() < n && !groups.empty()) {
    const auto most = static_cast<std::uint32_t>(std::ranges::max_element(count) - count.begin());
    const auto last = std::find_if(groups.rbegin(), groups.rend(),
                                   [&](std::uint32_t g) { return g % n_syncers == most; });
    if (last == groups.rend()) break;
    leaving.push_back(*last);
    groups.erase(std::next(last).base());
    --count[most];
  }
  return leaving;
}

}  // namespace

void keep_table(const json& message, SliceTable& table) {
  const auto open_file = [&](const char* key) {
    const std::string path = message.value(key, "");
    if (path.empty()) return -1;
    // A pipe, say, would keep gpu_host waiting, or this thread.
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info {};
    if (fd < 0 || (fstat(fd, &info) == 0 && S_ISREG(info.st_mode))) return fd;
    close(fd);
    return -1;
  };
  table.reset();
  table.kernel = message.value("kernel", "");
  table.fd = open_file("table");
  table.source_fd = open_file("source");
  table.source_name = message.value("source_name", "");
}

void name_files(const SliceTable& table, json& order) {
  const auto path = [](int fd) {
    return fd < 0 ? std::string() : fmt::format("/proc/{}/fd/{}", getpid(), fd);
  };
  order["kernel"] = table.kernel;
  order["table"] = path(table.fd);
  if (table.source_name.empty()) return;
  order["source"] = path(table.source_fd);
  order["source_name"] = table.source_name;
}

Instance* Controller::find_slice(std::uint32_t slice) {
  const auto at = std::ranges::find_if(
      p_.instances, [&](const auto& i) { return slice < kMaxSlices && i->slice == slice; });
  return at == p_.instances.end() ? nullptr : at->get();
}

void Controller::on_gpu_message(const std::string& op, const json& message) {
  if (op == "ready") {
    gpu_.on_ready(message);
    add_slices_again();
    retry_waiting_registrations();
  } else if (op == "failed") {
    p_.gpu.why = Error{message.value("what", ""), message.value("fix", "")}.line();
  } else if (op == "slice_added") {
    on_slice_added(message);
  } else if (op == "wish") {
    on_wish(message);
  } else if (Instance* const instance = find_slice(message.value("slice", kMaxSlices))) {
    if (op == "slice_removed") instance->slice_removed = true;
    if (op == "slice_resized") on_slice_resized(*instance, message);
    if (op == "table_replaced") on_table_replaced(*instance, message);
    if (op == "stuck") {
      spdlog::error("{}: {}", instance->name(), message.value("what", ""));
      // A gpu_host that is started again does without it, and without others of the same kernel.
      for (Instance* const same : instance->service->instances) {
        if (same->slice == kMaxSlices) continue;
        same->failure = message.value("what", "");
        same->hung = true;
      }
    }
  }
}

void Controller::on_resize_request(int connection, const json& message) {
  const std::string name = message.value("service", "");
  std::vector<Instance*> running = find_instances(name);
  std::erase_if(running, [](const Instance* i) {
    return i->state != InstanceState::kRunning || i->slice == kMaxSlices;
  });
  if (running.size() != 1) {
    server_.send(
        connection,
        refusal(running.empty()
                    ? Error{fmt::format("no GPU NF '{}' is running", name),
                            "hbctl gpu shows those that are"}
                    : Error{fmt::format("{} instances of '{}' are running", running.size(), name),
                            fmt::format("name one of them, like {}", running[0]->name())}));
    return;
  }
  const Result<void> begun = resize(*running[0], message.value("n", 0u), connection);
  if (!begun) server_.send(connection, refusal(begun.error()));
}

Result<void> Controller::resize(Instance& instance, std::uint32_t n, int asker) {
  if (instance.resize.at_work || instance.leaving)
    return Error{fmt::format("'{}' is being changed already", instance.name()), "try again later"};
  if (gpu_.connection() < 0) return Error{"gpu_host has just died", "try again later"};
  const std::uint32_t n_syncers = p_.options.n_syncers;
  const auto now = static_cast<std::uint32_t>(instance.work_groups.size());
  if (n < n_syncers)
    return Error{fmt::format("{} work-groups are fewer than one for each CPUSyncer", n),
                 fmt::format("give it at least {}, or stop it", n_syncers)};
  std::vector<std::uint32_t> groups = instance.work_groups;
  instance.resize = {};
  if (n > now) {
    auto more = resources_.take_work_groups(n - now, n_syncers, groups,
                                            instance.service->only_syncer(n_syncers));
    if (!more)
      return Error{fmt::format("{} of the GPU's work-groups are free, {} are wanted",
                               resources_.n_free_work_groups(), n - now),
                   "take some from another GPU NF first: hbctl gpu shows who has them"};
    instance.resize.joining = *more;
    groups.insert(groups.end(), more->begin(), more->end());
    // From here on a packet may be in one of them.
    instance.work_groups = groups;
  } else {
    const std::vector<std::uint32_t> leaving = choose_leaving(groups, now - n, n_syncers);
    std::erase_if(groups,
                  [&](std::uint32_t g) { return std::ranges::find(leaving, g) != leaving.end(); });
  }
  instance.resize.at_work = true;
  instance.resize.asker = asker;
  server_.send(gpu_.connection(),
               {{"op", "resize_slice"}, {"slice", instance.slice}, {"work_groups", groups}});
  return {};
}

void Controller::on_slice_resized(Instance& instance, const json& message) {
  if (!instance.resize.at_work) return;
  const Instance::Resize done = std::exchange(instance.resize, {});
  std::vector<std::uint32_t> given_back = done.joining;
  if (message.value("ok", false)) {
    const auto groups = message.value("work_groups", instance.work_groups);
    given_back.clear();
    for (const std::uint32_t group : instance.work_groups)
      if (std::ranges::find(groups, group) == groups.end()) given_back.push_back(group);
  }
  std::erase_if(instance.work_groups, [&](std::uint32_t g) {
    return std::ranges::find(given_back, g) != given_back.end();
  });
  resources_.free_work_groups(given_back);
  room_ = true;
  instance.pause_us = message.value("pause_us", 0.0);
  if (done.asker >= 0) {
    if (message.value("ok", false))
      server_.send(
          done.asker,
          {{"ok", true}, {"work_groups", instance.work_groups}, {"pause_us", instance.pause_us}});
    else
      server_.send(done.asker, refusal(Error{message.value("what", ""), message.value("fix", "")}));
  }
  Instance* const next = find_slice(done.then_grow);
  if (next != nullptr && next->state == InstanceState::kRunning)
    (void)resize(*next, static_cast<std::uint32_t>(next->work_groups.size()) + 1, -1);
}

/// gpu_host, with --elastic, wants a work-group moved from one slice to another.
void Controller::on_wish(const json& message) {
  Instance* const to = find_slice(message.value("to", kMaxSlices));
  Instance* const from = find_slice(message.value("from", kMaxSlices));
  if (to == nullptr || to->state != InstanceState::kRunning) return;
  if (resize(*to, static_cast<std::uint32_t>(to->work_groups.size()) + 1, -1)) return;
  if (to->resize.at_work || from == nullptr || from->state != InstanceState::kRunning) return;
  if (resize(*from, static_cast<std::uint32_t>(from->work_groups.size()) - 1, -1))
    from->resize.then_grow = to->slice;
}

void Controller::on_replace_table(Instance& instance, const json& message) {
  // A gpu_host whose connection has closed answers nothing, though its end is not told yet.
  if (instance.slice == kMaxSlices || instance.state != InstanceState::kRunning ||
      gpu_.connection() < 0) {
    json answer = refusal(Error{"the GPU NF is not running", "start it again"});
    answer["op"] = "table_replaced";
    server_.send(instance.connection, answer);
    return;
  }
  // One at a time: the next table is in its place until gpu_host has answered.
  if (relay_.n_waiting(gpu_.connection()) != 0 && !instance.next_table.kernel.empty()) {
    json answer =
        refusal(Error{"a reload is still under way", "wait for its answer, then try again"});
    answer["op"] = "table_replaced";
    server_.send(instance.connection, answer);
    return;
  }
  keep_table(message, instance.next_table);
  json order = {{"op", "replace_table"},
                {"slice", instance.slice},
                {"id", relay_.add(instance.connection, gpu_.connection())}};
  name_files(instance.next_table, order);
  server_.send(gpu_.connection(), order);
}

void Controller::on_table_replaced(Instance& instance, const json& message) {
  if (message.value("ok", false)) {
    instance.table_version = message.value("version", instance.table_version);
    instance.table.swap(instance.next_table);
    instance.pause_us = message.value("pause_us", 0.0);
  }
  instance.next_table.reset();
  if (const auto asker = relay_.take(message.value("id", 0ull), gpu_.connection()))
    server_.send(*asker, message);
}

}  // namespace hb
