-- SPDX-License-Identifier: GPL-3.0-or-later
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.agent_state (
    plant character varying(64) NOT NULL,
    gateway character varying(64) NOT NULL,
    received_ms bigint NOT NULL,
    bytes bytea NOT NULL
);
CREATE TABLE public.batch (
    stream_id bigint NOT NULL,
    sequence bigint NOT NULL,
    sha256 bytea NOT NULL,
    record_count integer NOT NULL,
    gap_count integer NOT NULL,
    first_ms bigint NOT NULL,
    last_ms bigint NOT NULL,
    received_ms bigint NOT NULL,
    size_bytes integer NOT NULL,
    repeats integer NOT NULL
);
CREATE TABLE public.batch_day (
    plant character varying(64) NOT NULL,
    day character varying(10) NOT NULL,
    stream_id bigint NOT NULL,
    sequence bigint NOT NULL
);
CREATE TABLE public.covered (
    stream_id bigint NOT NULL,
    from_seq bigint NOT NULL,
    to_seq bigint NOT NULL
);
CREATE TABLE public.enrolled (
    plant character varying(64) NOT NULL,
    units text NOT NULL,
    gateways text NOT NULL
);
CREATE TABLE public.gap (
    id bigint NOT NULL,
    stream_id bigint NOT NULL,
    sequence bigint NOT NULL,
    plant character varying(64) NOT NULL,
    unit character varying(64) NOT NULL,
    from_ms bigint NOT NULL,
    to_ms bigint NOT NULL,
    reason character varying(64) NOT NULL,
    epoch character varying(16),
    from_seq bigint,
    to_seq bigint
);
CREATE SEQUENCE public.gap_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.gap_id_seq OWNED BY public.gap.id;
CREATE TABLE public.imported (
    id bigint NOT NULL,
    kind character varying(32) NOT NULL,
    name character varying(255) NOT NULL,
    sha256 character varying(64) NOT NULL,
    who character varying(64) NOT NULL,
    at_ms bigint NOT NULL,
    added integer NOT NULL,
    same integer NOT NULL,
    replaced integer NOT NULL,
    undone_ms bigint,
    undone_by character varying(64),
    bytes bytea NOT NULL
);
CREATE SEQUENCE public.imported_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.imported_id_seq OWNED BY public.imported.id;
CREATE TABLE public.imported_row (
    id bigint NOT NULL,
    import_id bigint NOT NULL,
    kind character varying(32) NOT NULL,
    "row" integer NOT NULL,
    start_ms bigint NOT NULL,
    end_ms bigint NOT NULL,
    cells text NOT NULL,
    replaced_by bigint,
    undone boolean NOT NULL
);
CREATE SEQUENCE public.imported_row_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.imported_row_id_seq OWNED BY public.imported_row.id;
CREATE TABLE public.lake_day (
    plant character varying(64) NOT NULL,
    day character varying(10) NOT NULL,
    wanted bigint NOT NULL,
    sealed bigint NOT NULL,
    changed_ms bigint NOT NULL
);
CREATE TABLE public.lake_file (
    id bigint NOT NULL,
    plant character varying(64) NOT NULL,
    day character varying(10) NOT NULL,
    name character varying(200) NOT NULL,
    sha256 character varying(64) NOT NULL,
    row_count bigint NOT NULL,
    other_count bigint NOT NULL,
    size_bytes bigint NOT NULL,
    sealed_ms bigint NOT NULL,
    superseded_ms bigint
);
CREATE SEQUENCE public.lake_file_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.lake_file_id_seq OWNED BY public.lake_file.id;
CREATE TABLE public.payload (
    stream_id bigint NOT NULL,
    sequence bigint NOT NULL,
    received_ms bigint NOT NULL,
    bytes bytea NOT NULL
);
CREATE TABLE public.quarantine (
    id bigint NOT NULL,
    sha256 bytea NOT NULL,
    topic character varying(512) NOT NULL,
    code character varying(32) NOT NULL,
    reason character varying(1000) NOT NULL,
    plant character varying(64) NOT NULL,
    gateway character varying(64) NOT NULL,
    epoch character varying(16),
    sequence bigint,
    received_ms bigint NOT NULL,
    last_received_ms bigint NOT NULL,
    repeats integer NOT NULL,
    size_bytes bigint NOT NULL,
    bytes bytea NOT NULL
);
CREATE SEQUENCE public.quarantine_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.quarantine_id_seq OWNED BY public.quarantine.id;
CREATE TABLE public.run (
    id bigint NOT NULL,
    month character varying(7) NOT NULL,
    at_ms bigint NOT NULL,
    who character varying(64) NOT NULL,
    folder character varying(255) NOT NULL,
    status character varying(32) NOT NULL,
    result_hash character varying(64) NOT NULL,
    manifest text NOT NULL
);
CREATE TABLE public.run_file (
    run_id bigint NOT NULL,
    plant character varying(64) NOT NULL,
    name character varying(200) NOT NULL
);
CREATE SEQUENCE public.run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.run_id_seq OWNED BY public.run.id;
CREATE TABLE public.store (
    id integer NOT NULL,
    store_id character varying(32) NOT NULL,
    schema_version integer NOT NULL,
    since_ms bigint NOT NULL
);
CREATE SEQUENCE public.store_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.store_id_seq OWNED BY public.store.id;
CREATE TABLE public.stream (
    id bigint NOT NULL,
    plant character varying(64) NOT NULL,
    gateway character varying(64) NOT NULL,
    epoch character varying(16) NOT NULL,
    through bigint NOT NULL,
    first_received_ms bigint NOT NULL,
    last_received_ms bigint NOT NULL
);
CREATE SEQUENCE public.stream_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.stream_id_seq OWNED BY public.stream.id;
CREATE TABLE public.unit_day (
    plant character varying(64) NOT NULL,
    unit character varying(64) NOT NULL,
    day character varying(10) NOT NULL,
    received bigint NOT NULL,
    first_ms bigint NOT NULL,
    last_ms bigint NOT NULL,
    minutes bytea NOT NULL
);
ALTER TABLE ONLY public.gap ALTER COLUMN id SET DEFAULT nextval('public.gap_id_seq'::regclass);
ALTER TABLE ONLY public.imported ALTER COLUMN id SET DEFAULT nextval('public.imported_id_seq'::regclass);
ALTER TABLE ONLY public.imported_row ALTER COLUMN id SET DEFAULT nextval('public.imported_row_id_seq'::regclass);
ALTER TABLE ONLY public.lake_file ALTER COLUMN id SET DEFAULT nextval('public.lake_file_id_seq'::regclass);
ALTER TABLE ONLY public.quarantine ALTER COLUMN id SET DEFAULT nextval('public.quarantine_id_seq'::regclass);
ALTER TABLE ONLY public.run ALTER COLUMN id SET DEFAULT nextval('public.run_id_seq'::regclass);
ALTER TABLE ONLY public.store ALTER COLUMN id SET DEFAULT nextval('public.store_id_seq'::regclass);
ALTER TABLE ONLY public.stream ALTER COLUMN id SET DEFAULT nextval('public.stream_id_seq'::regclass);
INSERT INTO public.batch VALUES (1, 1, '\x011fb5653631f0cd5dbd85586639c64f3c4ed1e44c6535456ed215b7799c5294', 3, 0, 1773118800000, 1773118920000, 1773115200000, 154, 0);
INSERT INTO public.batch VALUES (1, 2, '\xe4f75f0454e2e8d85731c31c7fe9b97d873f10f8cb9fa0755ffdb683f6749803', 3, 0, 1773122400000, 1773122520000, 1773115200000, 153, 0);
INSERT INTO public.batch VALUES (1, 4, '\xf331271be6b0cd0523b41e5d0c3cc29066f7ee8a291835ce336d6313e49f06cf', 3, 0, 1773129600000, 1773129720000, 1773115200000, 153, 0);
INSERT INTO public.batch VALUES (1, 5, '\xa019e68c97228a69985502f62dfbc02e13e77b1cff6e37e0343276f061a7b89d', 2, 1, 1773115200000, 1773115260000, 1773115200000, 174, 0);
INSERT INTO public.batch_day VALUES ('P1', '2026-03-10', 1, 1);
INSERT INTO public.batch_day VALUES ('P1', '2026-03-10', 1, 2);
INSERT INTO public.batch_day VALUES ('P1', '2026-03-10', 1, 4);
INSERT INTO public.batch_day VALUES ('P1', '2026-03-10', 1, 5);
INSERT INTO public.covered VALUES (1, 1, 6);
INSERT INTO public.enrolled VALUES ('P1', '["U1", "U2"]', '["g1", "g2"]');
INSERT INTO public.gap VALUES (1, 1, 5, 'P1', 'U1', 1773115200000, 1773115260000, 'evicted', '0000000000000001', 3, 3);
INSERT INTO public.imported VALUES (1, 'register', 'register.csv', '6dc8c4d694ca1f5d7ad4fd5717e509f90d9c9691d4fcf293b9352956c9a2c6c6', 'li', 1773115200000, 1, 0, 0, NULL, NULL, '\x0a5b5b617265615d5d0a6964203d20226a69616e677375220a6e616d65203d2022e6b19fe88b8f220a64697370617463685f6d6f6465203d2022616e6e75616c5f706c616e220a76616c6c65795f686f757273203d205b2230303a30302d30383a3030225d0a7065616b5f686f757273203d205b2230383a30302d31313a3030225d0a686f7572735f66696c696e67203d202278220a5b5b706c616e745d5d0a6964203d20225031220a6e616d65203d20226f6e65220a61726561203d20226a69616e677375220a726576656e75655f6261736973203d20226f6e5f67726964220a736861726573203d20747275650a736574746c65735f77697468203d202278220a5b5b756e69745d5d0a6964203d20225531220a706c616e74203d20225031220a6b696e64203d2022636f616c220a72617465645f6d77203d2022363630220a5b5b756e69745d5d0a6964203d20225532220a706c616e74203d20225031220a6b696e64203d2022636f616c220a72617465645f6d77203d2022363630220a');
INSERT INTO public.imported VALUES (2, 'plan', 'plan.csv', '7a144919ae8acd211c5114b3d8e29d1f8de3f6a77bcaaa442e754ec4cebcdbc7', 'li', 1773115200000, 2, 0, 0, NULL, NULL, '\x756e69742c73746172742c656e642c706f7765725f6d770a55312c323032362d30332d31305430313a30303a30302b30383a30302c323032362d30332d31305430323a30303a30302b30383a30302c3330300a55312c323032362d30332d31305430323a30303a30302b30383a30302c323032362d30332d31305430333a30303a30302b30383a30302c3331300a');
INSERT INTO public.imported_row VALUES (1, 1, 'register', 0, 0, 0, '["6dc8c4d694ca1f5d7ad4fd5717e509f90d9c9691d4fcf293b9352956c9a2c6c6"]', NULL, false);
INSERT INTO public.imported_row VALUES (2, 2, 'plan', 2, 1773075600000, 1773079200000, '["U1", "1773075600000", "1773079200000", "300", ""]', NULL, false);
INSERT INTO public.imported_row VALUES (3, 2, 'plan', 3, 1773079200000, 1773082800000, '["U1", "1773079200000", "1773082800000", "310", ""]', NULL, false);
INSERT INTO public.lake_day VALUES ('P1', '2026-03-10', 2, 0, 1773115200000);
INSERT INTO public.payload VALUES (1, 1, 1773115200000, '\x93c4419a01a25031a26731010103cf0000019cd61dc080cf0000019cd61f9540c420951f08cb0cd7a406dd102f7ad76504e70da034a99e6ef542e58311a3e0ecae69c400c400c45228b52ffd204f4d0200c4039891a2553191c4040104050e9103c40e0100000092cdea60019ecf0000019cd61dc080ce000493e0ce02faf08001ce499602d2c40600020200020290040040ac37efa60c108030');
INSERT INTO public.payload VALUES (1, 2, 1773115200000, '\x93c4419a01a25031a26731010203cf0000019cd654af00cf0000019cd65683c0c42002598309cbec255a449a426f0c70db3a43f74215cfa8a9fc74da8ebec7a5319cc400c400c45128b52ffd204f450200b4039891a2553191c4040104050e9103c40e0100000092cdea60019ecf0000019cd654afce000493e0ce02faf08001ce499602d2c40600020200020290040040586e8e4d19200061');
INSERT INTO public.payload VALUES (1, 4, 1773115200000, '\x93c4419a01a25031a26731010403cf0000019cd6c28c00cf0000019cd6c460c0c4202015b3b7dfa438f8326ef64f5cf52da7b816219fb2398504c2cb75c8952502b5c400c400c45128b52ffd204f450200b4039891a2553191c4040104050e9103c40e0100000092cdea60019ecf0000019cd6c28cce000493e0ce02faf08001ce499602d2c40600020200020290040040586e8e4d19200061');
INSERT INTO public.payload VALUES (1, 5, 1773115200000, '\x93c4419a01a25031a26731010502cf0000019cd5e6d200cf0000019cd5e7bc60c4203786312215a2dfd2e8b225fb920aa2556bb6d1f3304190d6971e88246cdd4b88c400c400c46628b52ffd206fed0200b4049891a2553291c4040104050e9102c40e0100000092cdea60019ecf0000019cd5e6d2ce000493e0ce02faf08001ce499602c40400020002919791a25531e7bc60a76576696374656401030306002c03445549ce5bdd1c90325600c2');
INSERT INTO public.quarantine VALUES (1, '\x795e6cd568434158873d1b9f1a39291c3bd8650c56d75ab4b71bb1cd67733acd', 'collector/v1/P1/g1/batch', 'foreign_unit', 'not a unit of P1: U9', 'P1', 'g1', '0000000000000001', 6, 1773115200000, 1773115200000, 0, 140, '\x93c4419a01a25031a26731010601cf0000019cd5e6d200cf0000019cd5e6d200c420091eff266641a7c51682331b041df9298f91cb8a334cbc03cfe8eb021823f879c400c400c44428b52ffd2045dd010024039891a2553991c4040104050e9101c40e00909ecf0000019cd5e6d2ce000493e0ce02faf08001ce499602d200000000c4009002003307f4004b');
INSERT INTO public.run VALUES (1, '2026-02', 1773115200000, 'li', '2026-02-1', 'provisional', '0000000000000000000000000000000000000000000000000000000000000000', '{}');
INSERT INTO public.store VALUES (1, '5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e', 1, 1773115200000);
INSERT INTO public.stream VALUES (1, 'P1', 'g1', '0000000000000001', 6, 1773115200000, 1773115200000);
INSERT INTO public.unit_day VALUES ('P1', 'U1', '2026-03-10', 9, 1773118800000, 1773129720000, '\x000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000e00000000000000e00000000000000000000000000000e00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO public.unit_day VALUES ('P1', 'U2', '2026-03-10', 2, 1773115200000, 1773115260000, '\x000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000c00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000');
SELECT pg_catalog.setval('public.gap_id_seq', 1, true);
SELECT pg_catalog.setval('public.imported_id_seq', 2, true);
SELECT pg_catalog.setval('public.imported_row_id_seq', 3, true);
SELECT pg_catalog.setval('public.lake_file_id_seq', 1, false);
SELECT pg_catalog.setval('public.quarantine_id_seq', 1, true);
SELECT pg_catalog.setval('public.run_id_seq', 1, true);
SELECT pg_catalog.setval('public.store_id_seq', 1, false);
SELECT pg_catalog.setval('public.stream_id_seq', 1, true);
ALTER TABLE ONLY public.agent_state
    ADD CONSTRAINT agent_state_pkey PRIMARY KEY (plant, gateway);
ALTER TABLE ONLY public.batch_day
    ADD CONSTRAINT batch_day_pkey PRIMARY KEY (plant, day, stream_id, sequence);
ALTER TABLE ONLY public.batch
    ADD CONSTRAINT batch_pkey PRIMARY KEY (stream_id, sequence);
ALTER TABLE ONLY public.covered
    ADD CONSTRAINT covered_pkey PRIMARY KEY (stream_id, from_seq);
ALTER TABLE ONLY public.enrolled
    ADD CONSTRAINT enrolled_pkey PRIMARY KEY (plant);
ALTER TABLE ONLY public.gap
    ADD CONSTRAINT gap_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.imported
    ADD CONSTRAINT imported_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.imported_row
    ADD CONSTRAINT imported_row_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.lake_day
    ADD CONSTRAINT lake_day_pkey PRIMARY KEY (plant, day);
ALTER TABLE ONLY public.lake_file
    ADD CONSTRAINT lake_file_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.payload
    ADD CONSTRAINT payload_pkey PRIMARY KEY (stream_id, sequence);
ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_sha256_topic_code_key UNIQUE (sha256, topic, code);
ALTER TABLE ONLY public.run_file
    ADD CONSTRAINT run_file_pkey PRIMARY KEY (run_id, plant, name);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.store
    ADD CONSTRAINT store_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.stream
    ADD CONSTRAINT stream_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.stream
    ADD CONSTRAINT stream_plant_gateway_epoch_key UNIQUE (plant, gateway, epoch);
ALTER TABLE ONLY public.unit_day
    ADD CONSTRAINT unit_day_pkey PRIMARY KEY (plant, unit, day);
CREATE INDEX gap_by_plant ON public.gap USING btree (plant, from_ms);
CREATE INDEX imported_row_in_force ON public.imported_row USING btree (kind, start_ms);
CREATE INDEX ix_imported_row_import_id ON public.imported_row USING btree (import_id);
CREATE INDEX ix_imported_row_replaced_by ON public.imported_row USING btree (replaced_by);
CREATE INDEX lake_file_by_day ON public.lake_file USING btree (plant, day);
CREATE INDEX payload_by_age ON public.payload USING btree (received_ms);
ALTER TABLE ONLY public.batch
    ADD CONSTRAINT batch_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES public.stream(id);
ALTER TABLE ONLY public.covered
    ADD CONSTRAINT covered_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES public.stream(id);
ALTER TABLE ONLY public.gap
    ADD CONSTRAINT gap_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES public.stream(id);
ALTER TABLE ONLY public.imported_row
    ADD CONSTRAINT imported_row_import_id_fkey FOREIGN KEY (import_id) REFERENCES public.imported(id);
ALTER TABLE ONLY public.imported_row
    ADD CONSTRAINT imported_row_replaced_by_fkey FOREIGN KEY (replaced_by) REFERENCES public.imported(id);
ALTER TABLE ONLY public.run_file
    ADD CONSTRAINT run_file_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.run(id);
