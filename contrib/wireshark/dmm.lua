-- SPDX-License-Identifier: GPL-2.0-or-later
-- Wireshark dissector for the secure channel of DMM for Linux (UDP port 7872; ARCHITECTURE.md, "Signalling").
--
--   tshark -X lua_script:contrib/wireshark/dmm.lua -o dmm.key_log:/run/dmm/mnd.keys -r capture.pcap
--   or copy it to ~/.local/lib/wireshark/plugins; the key log is in Preferences, Protocols, DMM.
--
-- Without keys it shows the framing: PType, SPI, sequence number, handshake, cookie and discovery. With a key log (key-log in mnd.conf or
-- amad.conf; of either side) the payload is decrypted and given to Wireshark's own dissector of mobility headers; our vendor options are shown here. Wireshark's Lua has no
-- ciphers, so ChaCha20 is written out here. Tags are not verified: a key is taken if what it gives has the form of a payload.

local dmm = Proto("dmm", "DMM secure channel")
local bits = bit32 or bit

dmm.prefs.key_log = Pref.string("Key log", "", "File that mnd or amad writes with key-log")

local ptypes = {[8] = "signalling", [15] = "handshake"}
local types = {"initiation", "response", "cookie", "discovery request", "discovery reply"}
local options = {"lease", "tunnel MTU", "probe", "sealed", "anchor", "regional", "former"} -- of the vendor option 19, vendor 32473
local F = {
	ptype = ProtoField.uint8("dmm.ptype", "PType", base.DEC, ptypes, 0xf0),
	spi = ProtoField.uint32("dmm.spi", "SPI of the receiver", base.HEX, nil, 0x0fffffff),
	sequence = ProtoField.uint32("dmm.sequence", "Sequence number"),
	sealed = ProtoField.bytes("dmm.sealed", "Sealed"),
	tag = ProtoField.bytes("dmm.tag", "Tag"),
	type = ProtoField.uint8("dmm.type", "Type", base.DEC, types),
	version = ProtoField.uint8("dmm.version", "Version"),
	reserved = ProtoField.uint16("dmm.reserved", "Reserved", base.HEX),
	initiator = ProtoField.uint32("dmm.initiator_spi", "SPI of the initiator", base.HEX),
	responder = ProtoField.uint32("dmm.responder_spi", "SPI of the responder", base.HEX),
	ephemeral = ProtoField.bytes("dmm.ephemeral", "Ephemeral key"),
	static = ProtoField.bytes("dmm.static", "Static key, sealed"),
	mac1 = ProtoField.bytes("dmm.mac1", "MAC 1"),
	mac2 = ProtoField.bytes("dmm.mac2", "MAC 2 (cookie)"),
	nonce = ProtoField.bytes("dmm.nonce", "Nonce"),
	timestamp = ProtoField.absolute_time("dmm.timestamp", "Timestamp", base.UTC),
	flags = ProtoField.uint8("dmm.flags", "Flags", base.HEX),
	fresh = ProtoField.bool("dmm.flags.fresh", "The sender has no older session", 8, nil, 1),
	credential = ProtoField.bytes("dmm.credential", "Credential"),
	padding = ProtoField.bytes("dmm.padding", "Padding"),
	pad_length = ProtoField.uint8("dmm.pad_length", "Padding length"),
	next = ProtoField.uint8("dmm.next_header", "Next header"),
	decrypted = ProtoField.bool("dmm.decrypted", "Decrypted"),
	option = ProtoField.uint8("dmm.option", "Option", base.DEC, options),
	lease = ProtoField.uint32("dmm.lease.lifetime", "Lease (s)"),
	attach = ProtoField.bool("dmm.lease.attach", "On this link", 32, nil, 1),
	new = ProtoField.bool("dmm.lease.new", "Another prefix", 32, nil, 2),
	drain = ProtoField.bool("dmm.lease.drain", "Begin nothing new on it", 32, nil, 4),
	wish = ProtoField.uint32("dmm.lease.wish", "Number of the wish", base.DEC, nil, 0xffff0000),
	mtu = ProtoField.uint16("dmm.tunnel_mtu", "Largest inner packet"),
	probe = ProtoField.uint32("dmm.probe.id", "Probe"),
	probe_size = ProtoField.uint16("dmm.probe.size", "Size of the packet"),
	cookie = ProtoField.uint32("dmm.cookie", "Cookie", base.HEX),
	inner = ProtoField.bytes("dmm.inner", "Part of a datagram for somebody else"),
	address = ProtoField.ipv6("dmm.address", "AMA"),
}
dmm.fields = F
local malformed = ProtoExpert.new("dmm.malformed", "Not as the secure channel's framing is", expert.group.MALFORMED, expert.severity.WARN)
dmm.experts = {malformed}

-- ChaCha20 (RFC 8439 2.3, 2.4) ----------------------------------------------------------------------------------

local function quarter(s, a, b, c, d)
	s[a] = (s[a] + s[b]) % 4294967296
	s[d] = bits.bxor(s[d], s[a])
	s[d] = bits.bor(bits.lshift(s[d], 16), bits.rshift(s[d], 16))
	s[c] = (s[c] + s[d]) % 4294967296
	s[b] = bits.bxor(s[b], s[c])
	s[b] = bits.bor(bits.lshift(s[b], 12), bits.rshift(s[b], 20))
	s[a] = (s[a] + s[b]) % 4294967296
	s[d] = bits.bxor(s[d], s[a])
	s[d] = bits.bor(bits.lshift(s[d], 8), bits.rshift(s[d], 24))
	s[c] = (s[c] + s[d]) % 4294967296
	s[b] = bits.bxor(s[b], s[c])
	s[b] = bits.bor(bits.lshift(s[b], 7), bits.rshift(s[b], 25))
end

local function block(key, counter, n)
	local s, w = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, {}
	for i = 1, 8 do s[4 + i] = key[i] end
	s[13], s[14], s[15], s[16] = counter, 0, n, 0 -- the nonce: 32 zero bits, 64 of the number; ours have 32
	for i = 1, 16 do w[i] = s[i] end
	for _ = 1, 10 do
		quarter(w, 1, 5, 9, 13) quarter(w, 2, 6, 10, 14) quarter(w, 3, 7, 11, 15) quarter(w, 4, 8, 12, 16)
		quarter(w, 1, 6, 11, 16) quarter(w, 2, 7, 12, 13) quarter(w, 3, 8, 9, 14) quarter(w, 4, 5, 10, 15)
	end
	for i = 1, 16 do w[i] = (w[i] + s[i]) % 4294967296 end
	return w
end

-- bytes: a string; n: number of the message. Block 0 is the tag's key.
local function chacha20(key, n, bytes)
	local out, w = {}, nil
	for i = 0, #bytes - 1 do
		if i % 64 == 0 then w = block(key, 1 + i / 64, n) end
		local word = w[1 + (i % 64 - i % 4) / 4]
		out[i + 1] = string.char(bits.band(bits.bxor(bytes:byte(i + 1), bits.rshift(word, 8 * (i % 4))), 0xff))
	end
	return table.concat(out)
end

-- keys ----------------------------------------------------------------------------------------------------------

local keys = {} -- "SESSION 0a1b2c3" -> list of keys; an SPI may come again, and two sides may choose the same

function dmm.init()
	keys = {}
	if dmm.prefs.key_log == "" then return end
	local f, why = io.open(dmm.prefs.key_log)
	if not f then
		print("dmm: cannot read the key log: " .. why)
		return
	end
	for line in f:lines() do
		local what, spi, hex = line:match("^(%u+) (%x+) (%x+)$")
		if what and #hex == 64 then
			local key, name = {}, what .. " " .. spi
			for i = 0, 7 do
				local a, b, c, d = hex:sub(8 * i + 1, 8 * i + 8):match("(%x%x)(%x%x)(%x%x)(%x%x)")
				key[i + 1] = tonumber(d .. c .. b .. a, 16)
			end
			keys[name] = keys[name] or {}
			table.insert(keys[name], key)
		end
	end
	f:close()
end

-- Where mobility headers end that begin at byte first (from 1) and fill the string up to last; nil if they do not.
local function is_run(bytes, first, last)
	while first <= last do
		if first + 7 > last then return false end
		first = first + 8 + 8 * bytes:byte(first + 1)
	end
	return first == last + 1
end

-- The plain text by the first key whose plain text has the form that fits() tells; nil if none has.
local function open(what, spi, n, range, fits)
	local bytes = range:bytes():raw()
	for _, key in ipairs(keys[string.format("%s %07x", what, spi)] or {}) do
		local plain = chacha20(key, n, bytes)
		if fits(plain) then return plain end
	end
end

local function u16(s, at) return s:byte(at) * 256 + s:byte(at + 1) end

local function fits_transport(p)
	local n = #p
	return n >= 2 and p:byte(n) == 135 and p:byte(n - 1) <= n - 2 and is_run(p, 1, n - 2 - p:byte(n - 1))
end

local function fits_initiation(p)
	return #p >= 11 and 11 + u16(p, 10) <= #p and is_run(p, 12 + u16(p, 10), #p)
end

local function fits_response(p)
	return #p >= 4 and p:byte(1) < 16 and is_run(p, 5, #p)
end

-- showing -------------------------------------------------------------------------------------------------------

-- What the data of our vendor option say, by its subtype; t: the data.
local show_option = {
	[1] = function(t, tree)
		tree:add(F.lease, t(0, 4))
		for _, f in ipairs({"attach", "new", "drain", "wish"}) do tree:add(F[f], t(4, 4)) end
	end,
	[2] = function(t, tree) tree:add(F.mtu, t(2, 2)) end,
	[3] = function(t, tree) tree:add(F.probe, t(0, 4)) tree:add(F.probe_size, t(4, 2)) end,
	[4] = function(t, tree) tree:add(F.cookie, t(0, 4)) tree:add(F.inner, t(4)) end,
	[5] = function(t, tree) tree:add(F.address, t(0, 16)) end,
}
show_option[6], show_option[7] = show_option[5], show_option[5]
local least = {8, 4, 8, 5, 16, 16, 16}

-- Wireshark knows the other options of a mobility header. They begin after 8 bytes in a Binding Refresh Request and in what is passed on, else after 12.
local function vendor_options(t, tree)
	local kind, at = t(2, 1):uint(), 12
	if kind == 0 or kind == 11 then at = 8 end
	while at + 2 <= t:len() do
		local len = t(at, 1):uint() == 0 and -1 or t(at + 1, 1):uint() -- Pad1 is one byte
		if at + 2 + len > t:len() then return end
		if t(at, 1):uint() == 19 and len >= 5 and t(at + 2, 4):uint() == 32473 then
			local subtype = t(at + 6, 1):uint()
			local item = tree:add(F.option, t(at + 6, 1))
			if show_option[subtype] and len - 5 >= least[subtype] then show_option[subtype](t(at + 7, len - 5), item) end
		end
		at = at + 2 + len
	end
end

local function messages(tvb, first, last, pinfo, root, tree)
	local mobility = DissectorTable.get("ip.proto"):get_dissector(135)
	while first < last do
		local n = 8 + 8 * tvb(first + 1, 1):uint()
		mobility:call(tvb(first, n):tvb(), pinfo, root)
		vendor_options(tvb(first, n), tree)
		first = first + n
	end
end

local function plain_tvb(plain)
	return ByteArray.new(plain, true):tvb("Decrypted by the key log")
end

local function shown(tree, yes)
	tree:add(F.decrypted, yes):set_generated()
end

local function transport(tvb, pinfo, tree, root)
	local spi, n = tvb(0, 4):bitfield(4, 28), tvb:len()
	if n < 8 + 2 + 16 then
		tree:add_proto_expert_info(malformed)
		return
	end
	local sequence = tvb(4, 4):uint()
	tree:add(F.sequence, tvb(4, 4))
	tree:add(F.sealed, tvb(8, n - 24))
	tree:add(F.tag, tvb(n - 16, 16))
	pinfo.cols.info = string.format("signalling, SPI %07x, sequence %u", spi, sequence)
	local plain = open("SESSION", spi, sequence, tvb(8, n - 24), fits_transport)
	shown(tree, plain ~= nil)
	if not plain then return end
	local t, len = plain_tvb(plain), #plain
	local pad = t(len - 2, 1):uint()
	if pad > 0 then tree:add(F.padding, t(len - 2 - pad, pad)) end
	tree:add(F.pad_length, t(len - 2, 1))
	tree:add(F.next, t(len - 1, 1))
	messages(t, 0, len - 2 - pad, pinfo, root, tree)
end

local handshake = {}

handshake[1] = function(tvb, pinfo, tree, root)
	local n = tvb:len()
	if n < 12 + 32 + 48 + 16 + 32 then
		tree:add_proto_expert_info(malformed)
		return
	end
	local spi = tvb(8, 4):uint()
	tree:add(F.initiator, tvb(8, 4))
	tree:add(F.ephemeral, tvb(12, 32))
	tree:add(F.static, tvb(44, 48))
	tree:add(F.sealed, tvb(92, n - 92 - 48))
	tree:add(F.tag, tvb(n - 48, 16))
	tree:add(F.mac1, tvb(n - 32, 16))
	tree:add(F.mac2, tvb(n - 16, 16))
	pinfo.cols.info = string.format("initiation, SPI %07x", spi)
	local plain = open("INITIATION", spi, 0, tvb(92, n - 92 - 48), fits_initiation)
	shown(tree, plain ~= nil)
	if not plain then return end
	local t = plain_tvb(plain)
	local ns = t(0, 8):uint64()
	tree:add(F.timestamp, t(0, 8), NSTime.new((ns / 1000000000):tonumber(), (ns % 1000000000):tonumber()))
	tree:add(F.flags, t(8, 1)):add(F.fresh, t(8, 1))
	local len = t(9, 2):uint()
	tree:add(F.credential, t(11, len))
	messages(t, 11 + len, t:len(), pinfo, root, tree)
end

handshake[2] = function(tvb, pinfo, tree, root)
	local n, spi = tvb:len(), tvb(0, 4):bitfield(4, 28)
	if n < 8 + 32 + 4 + 16 + 16 then
		tree:add_proto_expert_info(malformed)
		return
	end
	tree:add(F.ephemeral, tvb(8, 32))
	tree:add(F.sealed, tvb(40, n - 40 - 32))
	tree:add(F.tag, tvb(n - 32, 16))
	tree:add(F.mac1, tvb(n - 16, 16))
	pinfo.cols.info = string.format("response, SPI %07x", spi)
	local plain = open("RESPONSE", spi, 0, tvb(40, n - 40 - 32), fits_response)
	shown(tree, plain ~= nil)
	if not plain then return end
	local t = plain_tvb(plain)
	tree:add(F.responder, t(0, 4))
	messages(t, 4, t:len(), pinfo, root, tree)
end

handshake[3] = function(tvb, pinfo, tree)
	if tvb:len() ~= 8 + 24 + 32 then
		tree:add_proto_expert_info(malformed)
		return
	end
	tree:add(F.nonce, tvb(8, 24))
	tree:add(F.sealed, tvb(32, 16))
	tree:add(F.tag, tvb(48, 16))
	pinfo.cols.info = string.format("cookie, SPI %07x", tvb(0, 4):bitfield(4, 28))
end

handshake[4] = function(tvb, pinfo, tree)
	if tvb:len() ~= 1200 then tree:add_proto_expert_info(malformed) end
	if tvb:len() >= 24 then tree:add(F.nonce, tvb(8, 16)) end
	pinfo.cols.info = "discovery request"
end

handshake[5] = function(tvb, pinfo, tree)
	local n = tvb:len()
	if n ~= 1200 or 26 + tvb(24, 2):uint() > n then
		tree:add_proto_expert_info(malformed)
		return
	end
	tree:add(F.nonce, tvb(8, 16))
	tree:add(F.credential, tvb(26, tvb(24, 2):uint()))
	pinfo.cols.info = "discovery reply"
end

function dmm.dissector(tvb, pinfo, root)
	local n = tvb:len()
	if n < 8 then return 0 end
	local ptype = tvb(0, 1):bitfield(0, 4)
	if not ptypes[ptype] then return 0 end
	pinfo.cols.protocol = "DMM"
	local tree = root:add(dmm, tvb())
	tree:add(F.ptype, tvb(0, 1))
	tree:add(F.spi, tvb(0, 4))
	if ptype == 8 then
		transport(tvb, pinfo, tree, root)
		return n
	end
	tree:add(F.type, tvb(4, 1))
	tree:add(F.version, tvb(5, 1))
	tree:add(F.reserved, tvb(6, 2))
	local show = handshake[tvb(4, 1):uint()]
	if show and tvb(5, 1):uint() == 1 then
		show(tvb, pinfo, tree, root)
	else
		tree:add_proto_expert_info(malformed)
	end
	return n
end

DissectorTable.get("udp.port"):add(7872, dmm)
