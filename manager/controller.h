// The control thread: registers NFs, changes routes, recovers the dead, answers hbctl, ends it all.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "manager/audit.h"
#include "manager/console.h"
#include "manager/control_server.h"
#include "manager/gpu_supervisor.h"
#include "manager/platform.h"
#include "manager/recovery.h"
#include "manager/relay.h"
#include "manager/resources.h"
#include "manager/route_tables.h"

namespace hb {

class Controller {
 public:
  explicit Controller(Platform& platform);
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// Opens the control socket, starts gpu_host, publishes the first routes.
  Result<void> start();

  /// Until a signal, the end of the input, or a fatal error; then ends NFs and gpu_host in order
  /// and leaves all rings empty. RX and TX threads are the caller's to end.
  /// @return the exit status
  int run();

 private:
  using Clock = std::chrono::steady_clock;

  // Events (controller.cc). Handlers change what should be; run() brings it about.
  void poll_once(std::chrono::milliseconds timeout);
  bool settle(std::chrono::milliseconds limit, const std::function<bool()>& done);
  void on_signal();
  void on_message(int connection, const nlohmann::json& message, std::vector<int>& fds);
  void on_close(int connection);
  void on_nf_death(Instance& instance);
  void on_gpu_host_death();

  // Registration (registration.cc).
  void on_register(int connection, const nlohmann::json& message, std::vector<int>& fds);
  nlohmann::json register_nf(int connection, const nlohmann::json& message, int pidfd);
  Result<void> give_cpu_place(Instance& instance);
  Result<void> give_gpu_place(Instance& instance, std::uint32_t work_groups);
  void on_nf_ready(Instance& instance, const nlohmann::json& message);
  void on_slice_added(const nlohmann::json& message);
  void retry_waiting_registrations();
  Instance* find_service(const std::string& name);
  Instance& service_record(const std::string& name);

  // Slices of the GPU under traffic (gpu_slices.cc).
  void on_gpu_message(const std::string& op, const nlohmann::json& message);
  void on_resize_request(int connection, const nlohmann::json& message);
  void on_replace_table(Instance& instance, const nlohmann::json& message);
  void on_slice_resized(Instance& instance, const nlohmann::json& message);
  void on_table_replaced(Instance& instance, const nlohmann::json& message);
  void on_wish(const nlohmann::json& message);
  Result<void> resize(Instance& instance, std::uint32_t n, int asker);
  Instance* find_slice(std::uint32_t slice);

  // Routes (route_switch.cc).
  void pause_rx();
  void resume_rx();
  void switch_routes();
  void wait_grace();
  void fill_route_inputs(RouteInputs& inputs) const;

  // Ends (lifecycle.cc).
  void leave(Instance& instance);
  void advance_leaving();
  bool advance_one(Instance& instance);
  void release(Instance& instance);
  void fold_counts(Instance& instance);
  void shutdown();
  void stop_all_nfs();
  void stop_gpu_host();
  void set_state(Instance& instance, InstanceState state);
  void serve_orphans();
  void update_held();
  [[nodiscard]] bool all_required_running() const;
  [[nodiscard]] bool input_is_drained() const;
  [[nodiscard]] std::uint64_t originated_in_flight() const;

  void on_reload_request(int connection, const nlohmann::json& message);

  nlohmann::json quiesced_audit();
  /// Says once for each port that its file is damaged.
  void report_unreadable();

  Platform& p_;
  Resources resources_;
  Recovery recovery_;
  GpuSupervisor gpu_;
  ControlServer server_;
  Console console_;
  Relay relay_;
  int signal_fd_ = -1;
  int signals_ = 0;
  bool routes_dirty_ = false;
  bool rx_started_ = false;
  bool ending_ = false;
  bool fatal_ = false;
  std::uint64_t next_start_order_ = 1;
  Clock::time_point next_sample_{};
  std::array<bool, kMaxPorts> reported_unreadable_{};

  struct Waiting {
    int connection;
    std::string message;
    int pidfd;
  };
  /// GPU NFs that came before gpu_host was ready.
  std::vector<Waiting> waiting_;
};

}  // namespace hb
