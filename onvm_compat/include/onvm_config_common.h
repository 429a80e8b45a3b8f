/* JSON configuration files. */
#ifndef ONVM_CONFIG_COMMON_H
#define ONVM_CONFIG_COMMON_H

#include <stddef.h>
#include <stdint.h>

#include "cJSON.h"

#ifdef __cplusplus
extern "C" {
#endif

/** @return the document, for cJSON_Delete; NULL, and why on stdout, if it can't be read */
cJSON *onvm_config_parse_file(const char *filename);
/** @return how many members the object or array has */
int onvm_config_get_item_count(cJSON *config);

/* Values of the objects "dpdk" and "onvm". Strings are from the heap.
 * @return 0, or -1 if the member is missing or of another type */
int onvm_config_extract_corelist(cJSON *dpdk, char **core_list);
int onvm_config_extract_memory_channels(cJSON *dpdk, int *mem_channels);
int onvm_config_extract_portmask(cJSON *dpdk, int *portmask);
int onvm_config_extract_output_location(cJSON *onvm, char **output_location);
int onvm_config_extract_service_id(cJSON *onvm, int *service_id);
int onvm_config_extract_instance_id(cJSON *onvm, int *instance_id);

/** The command line that a file and the words behind it stand for. Words taken over from argv are
 * replaced by empty strings there.
 * @param new_argc, new_argv  receive it; new_argv and its words are from the heap
 * @return 0 or -1 */
int onvm_config_create_nf_arg_list(cJSON *config, int *new_argc, char **new_argv[], int argc,
                                   char *argv[]);
int onvm_config_create_onvm_args(cJSON *onvm, int *argc, char **argv[]);
int onvm_config_create_dpdk_args(cJSON *dpdk, int *argc, char **argv[]);

/** strlen() + 1, 0 for NULL. */
size_t strlenn(const char *s);

#ifdef __cplusplus
}
#endif

#endif /* ONVM_CONFIG_COMMON_H */
