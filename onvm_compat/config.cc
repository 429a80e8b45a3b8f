// onvm_config_common.h.
#include "onvm_compat/include/onvm_config_common.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

int extract_number(cJSON* object, const char* name, int* to) {
  const cJSON* const item = cJSON_GetObjectItem(object, name);
  if (!cJSON_IsNumber(item)) return -1;
  *to = item->valueint;
  return 0;
}

int extract_text(cJSON* object, const char* name, char** to) {
  const cJSON* const item = cJSON_GetObjectItem(object, name);
  if (!cJSON_IsString(item)) return -1;
  *to = strdup(item->valuestring);
  return *to != nullptr ? 0 : -1;
}

/// Words as a heap array that free() takes apart.
int hand_over(const std::vector<std::string>& words, int* argc, char** argv[]) {
  *argv = static_cast<char**>(calloc(words.size() + 1, sizeof(char*)));
  if (*argv == nullptr) return -1;
  for (std::size_t i = 0; i < words.size(); ++i) (*argv)[i] = strdup(words[i].c_str());
  *argc = static_cast<int>(words.size());
  return 0;
}

bool dpdk_words(cJSON* dpdk, std::vector<std::string>& words) {
  char* cores = nullptr;
  int channels = 0;
  if (onvm_config_extract_corelist(dpdk, &cores) != 0) return false;
  const bool good = onvm_config_extract_memory_channels(dpdk, &channels) == 0;
  words.insert(words.end(),
               {"-l", cores, "-n", std::to_string(channels), "--proc-type=secondary", "--"});
  free(cores);
  return good;
}

bool onvm_words(cJSON* onvm, std::vector<std::string>& words) {
  int service = 0, instance = 0;
  if (onvm_config_extract_service_id(onvm, &service) != 0) return false;
  words.insert(words.end(), {"-r", std::to_string(service)});
  if (onvm_config_extract_instance_id(onvm, &instance) == 0)
    words.insert(words.end(), {"-n", std::to_string(instance)});
  return true;
}

}  // namespace

extern "C" {

cJSON* onvm_config_parse_file(const char* filename) {
  std::ifstream file(filename != nullptr ? filename : "");
  if (!file) {
    printf("'%s' can't be opened\n", filename != nullptr ? filename : "");
    return nullptr;
  }
  std::string text;
  std::getline(file, text, '\0');
  if (file.bad()) {
    printf("'%s' can't be read\n", filename);
    return nullptr;
  }
  const char* end = nullptr;
  cJSON* const document = cJSON_ParseWithOpts(text.c_str(), &end, 0);
  if (document == nullptr) {
    const auto line = 1 + std::count(text.c_str(), end, '\n');
    printf("%s:%ld: this is not JSON\n", filename, static_cast<long>(line));
  }
  return document;
}

int onvm_config_get_item_count(cJSON* config) {
  int n = 0;
  for (const cJSON* item = config != nullptr ? config->child : nullptr; item != nullptr;
       item = item->next)
    ++n;
  return n;
}

int onvm_config_extract_corelist(cJSON* dpdk, char** core_list) {
  return extract_text(dpdk, "corelist", core_list);
}
int onvm_config_extract_memory_channels(cJSON* dpdk, int* mem_channels) {
  return extract_number(dpdk, "memory_channels", mem_channels);
}
int onvm_config_extract_portmask(cJSON* dpdk, int* portmask) {
  return extract_number(dpdk, "portmask", portmask);
}
int onvm_config_extract_output_location(cJSON* onvm, char** output_location) {
  return extract_text(onvm, "output", output_location);
}
int onvm_config_extract_service_id(cJSON* onvm, int* service_id) {
  return extract_number(onvm, "serviceid", service_id);
}
int onvm_config_extract_instance_id(cJSON* onvm, int* instance_id) {
  return extract_number(onvm, "instanceid", instance_id);
}

int onvm_config_create_dpdk_args(cJSON* dpdk, int* argc, char** argv[]) {
  std::vector<std::string> words;
  return dpdk_words(dpdk, words) ? hand_over(words, argc, argv) : -1;
}

int onvm_config_create_onvm_args(cJSON* onvm, int* argc, char** argv[]) {
  std::vector<std::string> words;
  return onvm_words(onvm, words) ? hand_over(words, argc, argv) : -1;
}

int onvm_config_create_nf_arg_list(cJSON* config, int* new_argc, char** new_argv[], int argc,
                                   char* argv[]) {
  cJSON* const dpdk = cJSON_GetObjectItem(config, "dpdk");
  cJSON* const onvm = cJSON_GetObjectItem(config, "onvm");
  if (dpdk == nullptr || onvm == nullptr) return -1;
  std::vector<std::string> words = {argv[0]};
  // Behind the file: overrides of EAL's part, "--", overrides of OpenNetVM's, "--", the NF's own.
  // What comes later wins, so overrides go behind what the file says.
  std::vector<std::string> parts[2];
  int part = 0;
  int at = 3;
  const bool has_overrides = [&] {
    int separators = 0;
    for (int i = 3; i < argc; ++i) separators += strcmp(argv[i], "--") == 0;
    return separators >= 2;
  }();
  for (; has_overrides && at < argc && part < 2; ++at) {
    if (strcmp(argv[at], "--") == 0)
      ++part;
    else
      parts[part].emplace_back(argv[at]);
    argv[at][0] = '\0';
  }
  std::vector<std::string> from_dpdk, from_onvm;
  if (!dpdk_words(dpdk, from_dpdk) || !onvm_words(onvm, from_onvm)) return -1;
  from_dpdk.pop_back();  // "--" goes behind the overrides
  words.insert(words.end(), from_dpdk.begin(), from_dpdk.end());
  words.insert(words.end(), parts[0].begin(), parts[0].end());
  words.emplace_back("--");
  words.insert(words.end(), from_onvm.begin(), from_onvm.end());
  words.insert(words.end(), parts[1].begin(), parts[1].end());
  words.emplace_back("--");
  for (int i = at; i < argc; ++i) words.emplace_back(argv[i]);
  return hand_over(words, new_argc, new_argv);
}

size_t strlenn(const char* s) { return s != nullptr ? strlen(s) + 1 : 0; }

}  // extern "C"
