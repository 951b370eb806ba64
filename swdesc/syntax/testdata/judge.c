/* What libconfig itself reads. The first line is its version, "MAJOR MINOR". Then for each text on stdin (its length, a line feed,
 * its bytes) either "refused LINE WHY" or a line "PATH LINE TYPE VALUE" per setting, and an empty line. LINE is 0 where there is
 * no name; a string is in hex, a floating point number in the hex of its bits. */
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show(config_setting_t *s, const char *path)
{
	const char *text = config_setting_get_string(s);
	double number = config_setting_get_float(s);
	unsigned long long bits;
	int type = config_setting_type(s), i;

	memcpy(&bits, &number, sizeof(bits));
	printf("%s %u ", path, config_setting_name(s) ? config_setting_source_line(s) : 0);
	switch (type) {
	case CONFIG_TYPE_BOOL: printf("bool %d\n", config_setting_get_bool(s)); return;
	case CONFIG_TYPE_INT: printf("int %d\n", config_setting_get_int(s)); return;
	case CONFIG_TYPE_INT64: printf("int %lld\n", config_setting_get_int64(s)); return;
	case CONFIG_TYPE_FLOAT: printf("float %016llx\n", bits); return;
	case CONFIG_TYPE_STRING:
		for (printf("string "); *text; text++)
			printf("%02x", (unsigned char)*text);
		putchar('\n');
		return;
	}
	puts(type == CONFIG_TYPE_GROUP ? "group" : type == CONFIG_TYPE_LIST ? "list" : type == CONFIG_TYPE_ARRAY ? "array" : "?");
	for (i = 0; i < config_setting_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		const char *name = config_setting_name(e);
		char *inner = malloc(strlen(path) + (name ? strlen(name) : 0) + 16);

		if (name)
			sprintf(inner, "%s/%s", path, name);
		else
			sprintf(inner, "%s/%d", path, i);
		show(e, inner);
		free(inner);
	}
}

int main(void)
{
	size_t size;

	for (printf("%d %d\n", LIBCONFIG_VER_MAJOR, LIBCONFIG_VER_MINOR); fflush(stdout), scanf("%zu", &size) == 1; putchar('\n')) {
		char *text = malloc(size + 1);
		FILE *file;
		config_t config;

		getchar();
		if (fread(text, 1, size, stdin) != size || !(file = fmemopen(size ? text : " ", size ? size : 1, "r")))
			return 1;
		config_init(&config);
		if (config_read(&config, file))
			show(config_root_setting(&config), "");
		else
			printf("refused %d %s\n", config_error_line(&config), config_error_text(&config));
		config_destroy(&config);
		fclose(file);
		free(text);
	}
	return 0;
}
