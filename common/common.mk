# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES =
libcommon_a_SOURCES += common/secret.c common/secret.h common/noise.c common/noise.h common/credential.c \
	common/credential.h common/channel.c common/channel.h common/prefix6.c common/prefix6.h
