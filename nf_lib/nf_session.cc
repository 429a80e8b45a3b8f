#include "nf_lib/nf_session.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <nlohmann/json.hpp>

#include "nf_lib/fault_point.h"
#include "nf_lib/supervision.h"

namespace hb {
namespace {

using nlohmann::json;

/// An orphan's run loop gets this long to reach a burst boundary before the process ends anyway.
constexpr std::chrono::milliseconds kOrphanGrace{800};
/// A manager that does not take the goodbye by then is not waited for.
constexpr std::chrono::milliseconds kByeLimit{1000};

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

Error refusal(const json& reply) {
  return Error{reply.value("what", "the manager refused without a reason"), reply.value("fix", "")};
}

}  // namespace

void block_stop_signals(bool block) {
  const sigset_t set = stop_signals();
  pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

NfSession::NfSession(Attachment attachment) : attachment_(std::move(attachment)) {}

Result<std::unique_ptr<NfSession>> NfSession::start(Attachment attachment,
                                                    const NfDescription& description,
                                                    const std::string& service, Compute compute,
                                                    Isolation isolation,
                                                    std::uint32_t work_groups) {
  std::unique_ptr<NfSession> session(new NfSession(std::move(attachment)));
  session->service_ = service;
  Attachment& own = session->attachment_;
  Result<Registration> registration = register_instance(
      own.socket(), own, description, service, compute, isolation, {{"work_groups", work_groups}});
  if (!registration) return registration.error();
  session->registration_ = std::move(*registration);
  session->instance_ = &own.registry().instances[session->registration_.instance.value];
  return session;
}

Result<Registration> register_instance(const ControlSocket& socket, Attachment& attachment,
                                       const NfDescription& description, const std::string& service,
                                       Compute compute, Isolation isolation, const json& more) {
  json message = register_message("nf");
  message.update({{"service", service},
                  {"program", description.name},
                  {"compute", compute == Compute::kGpu ? "gpu" : "cpu"},
                  {"isolation", isolation == Isolation::kPrivate ? "private" : "secondary"},
                  {"reasons", description.drop_reasons},
                  {"counters", description.counters},
                  {"choice", static_cast<int>(description.choice)},
                  {"key_offset", description.key_offset},
                  {"key_bytes", description.key_bytes},
                  {"originates", description.originates},
                  {"idempotent", description.idempotent},
                  {"supervisor", own_supervisor()},
                  {"replaces", replaced_process()},
                  {"surviving_bytes", description.surviving_bytes}});
  if (description.sets_types) message["sets_types"] = *description.sets_types;
  if (description.names_services) message["names_services"] = *description.names_services;
  message.update(more);
  const int pidfd = open_own_pidfd();
  if (pidfd < 0) return Error{"this kernel has no pidfd_open", "Linux 5.3 or later is needed"};
  fault_point("registering");
  const Result<void> sent = socket.send(message, std::array{pidfd});
  close(pidfd);
  if (!sent) return sent.error();
  fault_point("registration_sent");
  auto received = socket.receive(std::nullopt);
  if (!received) return received.error();
  if (!*received) return Error{"interrupted while registering", ""};
  const json& reply = **received;
  if (!reply.value("ok", false)) return refusal(reply);
  fault_point("registered");
  Registration r;
  r.context = ContextId(reply.value("context", 0u) % kMaxContexts);
  r.endpoint = EndpointId(reply.value("endpoint", 0u) % kMaxEndpoints);
  r.service = ServiceId(reply.value("service_id", 0u) % kMaxServices);
  r.instance = InstanceId(reply.value("instance", 0u) % kMaxInstances);
  r.number = reply.value("number", 0u);
  r.copy_queues = reply.value("copy_queues", std::vector<std::uint32_t>{});
  Result<ContextPage*> page = attachment.map_context(reply.value("page", ""));
  if (!page) return page.error();
  r.page = *page;
  fault_point("page_mapped");
  if (description.surviving_bytes != 0) {
    const auto block =
        attachment.map_surviving(reply.value("surviving", ""), description.surviving_bytes);
    if (!block) return block.error();
    r.surviving = *block;
  }
  return r;
}

namespace {

/// Waits for what comes next. A blocked signal that comes first has its default effect: nothing is
/// running that could be ended in order.
void wait_or_end(const ControlSocket& socket, int signal_fd) {
  pollfd polled[] = {{socket.fd(), POLLIN, 0}, {signal_fd, POLLIN, 0}};
  while (polled[0].revents == 0) {
    if (poll(polled, 2, -1) < 0) continue;
    // Whoever has seen this NF running sends its signal after the manager's answer.
    if (polled[0].revents != 0 || poll(polled, 1, 0) != 0) continue;
    block_stop_signals(false);
    block_stop_signals();  // it was ignored
  }
}

}  // namespace

Result<void> say_ready(const ControlSocket& socket, const json& message, int signal_fd) {
  if (const Result<void> sent = socket.send(message); !sent) return sent.error();
  fault_point("ready_sent");
  if (signal_fd >= 0) wait_or_end(socket, signal_fd);
  auto received = socket.receive(std::nullopt);
  if (!received) return received.error();
  if (!*received) return Error{"interrupted while starting", ""};
  if ((**received).value("op", "") == "stop")
    return Error{"the manager ended before this NF was running", "start it again with the manager"};
  if (!(**received).value("ok", false)) return refusal(**received);
  return {};
}

void say_bye(const ControlSocket& socket, const json& message) {
  if (!socket.send(message)) return;
  // A socket that is closed with a message unread resets the connection, and the manager would miss
  // the goodbye: read on until the manager has closed its end.
  shutdown(socket.fd(), SHUT_WR);
  for (;;) {
    const auto received = socket.receive(kByeLimit);
    if (!received || !*received) return;
  }
}

NfSession::~NfSession() {
  stop_listening();
  if (signal_fd_ >= 0) close(signal_fd_);
  if (end_fd_ >= 0) close(end_fd_);
}

namespace {

json device_message(const char* op, const DeviceCode& device) {
  json message = {{"op", op}, {"kernel", device.kernel}, {"table", device.table.path()}};
  if (device.source != nullptr) {
    message["source"] = device.source->path();
    message["source_name"] = device.source_name;
  }
  return message;
}

}  // namespace

Result<void> NfSession::ready(const DeviceCode* device) {
  const json message = device != nullptr ? device_message("ready", *device) : json{{"op", "ready"}};
  // Packets may come as soon as the manager has read this: a signal from now on is the listener's.
  block_stop_signals();
  const sigset_t signals = stop_signals();
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC);
  end_fd_ = eventfd(0, EFD_CLOEXEC);
  if (const Result<void> ready = say_ready(attachment_.socket(), message, signal_fd_); !ready)
    return ready;
  listener_ = std::thread([this] { listen(); });
  return {};
}

void NfSession::listen() {
  for (;;) {
    pollfd polled[] = {
        {attachment_.socket().fd(), POLLIN, 0}, {signal_fd_, POLLIN, 0}, {end_fd_, POLLIN, 0}};
    if (poll(polled, 3, -1) < 0) continue;
    if (polled[2].revents != 0) return;
    if (polled[1].revents != 0) on_signal();
    if (polled[0].revents == 0) continue;
    auto received = attachment_.socket().receive(std::chrono::milliseconds(0));
    if (!received) {
      on_orphaned();
      return;
    }
    if (!*received) continue;
    const std::string op = (**received).value("op", "");
    if (op == "stop") {
      reason_ = (**received).value("why", "");
      stop_.store(true, std::memory_order_relaxed);
    } else if (op == "reload") {
      start_reload(**received);
    } else if (op == "table_replaced") {
      const std::lock_guard lock(reload_mutex_);
      replace_answer_ = std::make_unique<json>(std::move(**received));
      replaced_.notify_all();
    }
  }
}

void NfSession::start_reload(const json& message) {
  const json id = message.value("id", json());
  const auto refuse = [&](const char* what, const char* fix) {
    (void)attachment_.socket().send(
        {{"op", "reloaded"}, {"id", id}, {"ok", false}, {"what", what}, {"fix", fix}});
  };
  if (!reload_) return refuse("this NF has nothing to reload", "stop it and start it again");
  const std::lock_guard lock(reload_mutex_);
  if (reloads_ended_) return refuse("this NF is ending", "start it again");
  // Acquire: pairs with the release store below, at the end of the reload before this one.
  if (reloading_.load(std::memory_order_acquire))
    return refuse("a reload is still under way", "wait for its answer, then try again");
  if (reloader_.joinable()) reloader_.join();
  reloading_.store(true, std::memory_order_relaxed);
  reloader_ = std::thread([this, id, args = message.value("args", std::vector<std::string>{})] {
    fault_point("reload_asked");
    const Result<std::string> done = reload_(args);
    fault_point("reload_done");
    json reply = {{"op", "reloaded"}, {"id", id}, {"ok", done.ok()}};
    if (done)
      reply["result"] = *done;
    else
      reply.update({{"what", done.error().what}, {"fix", done.error().fix}});
    reloading_.store(false, std::memory_order_release);
    // If the manager is gone, the listener sees that too.
    (void)attachment_.socket().send(reply);
    fault_point("reload_answered");
  });
}

Result<std::string> NfSession::replace(const DeviceCode& device) {
  std::unique_lock lock(reload_mutex_);
  replace_answer_.reset();
  if (const Result<void> sent = attachment_.socket().send(device_message("replace_table", device));
      !sent)
    return sent.error();
  fault_point("replacement_sent");
  replaced_.wait(lock, [this] { return replace_answer_ != nullptr || no_answers_; });
  if (replace_answer_ == nullptr) return Error{"the manager is gone", ""};
  const json& answer = *replace_answer_;
  if (!answer.value("ok", false)) return refusal(answer);
  return fmt::format("version {} of the table on the GPU, after a pause of {:.0f} us",
                     answer.value("version", 0), answer.value("pause_us", 0.0));
}

void NfSession::end_reloads() {
  std::thread last;
  {
    const std::lock_guard lock(reload_mutex_);
    reloads_ended_ = true;
    last = std::move(reloader_);
  }
  if (last.joinable()) last.join();
}

void NfSession::on_signal() {
  signalfd_siginfo info{};
  [[maybe_unused]] const ssize_t got = read(signal_fd_, &info, sizeof(info));
  if (asked_to_stop_) _exit(128 + static_cast<int>(info.ssi_signo));  // asked twice: now
  asked_to_stop_ = true;
  spdlog::info("stopping: finishing what is in {}'s rings (again to end at once)", service_);
  if (!attachment_.socket().send({{"op", "stop"}})) stop_.store(true, std::memory_order_relaxed);
}

void NfSession::on_orphaned() {
  orphaned_.store(true, std::memory_order_relaxed);
  {
    const std::lock_guard lock(reload_mutex_);
    no_answers_ = true;
    replaced_.notify_all();
  }
  stop_.store(true, std::memory_order_relaxed);
  spdlog::error("the manager of prefix '{}' is gone: ending; start it and this NF again",
                attachment_.prefix());
  // The loop may be inside an NF that takes its time; nobody waits for it any more.
  pollfd end{end_fd_, POLLIN, 0};
  if (poll(&end, 1, static_cast<int>(kOrphanGrace.count())) == 0) _exit(1);
}

void NfSession::stop_listening() {
  if (!listener_.joinable()) return;  // nothing else starts a reload
  end_reloads();                      // the listener brings the answer that one may wait for
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(end_fd_, &one, sizeof(one));
  listener_.join();
}

void NfSession::finish() {
  stop_listening();
  fault_point("leaving");
  if (!orphaned()) say_bye(attachment_.socket(), {{"op", "bye"}});
  fault_point("bye_said");
}

}  // namespace hb
