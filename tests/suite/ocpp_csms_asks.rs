//! What a CSMS that nobody here wrote asks of charge points, and what these make of it; see `ocpp_csms`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::csms::Csms;
use crate::gateway::{ALICE, BOB};
use crate::ocpp_csms::{VERSIONS, connected, session};
use crate::project::wait_for;

#[test]
fn the_csms_starts_and_stops_from_afar() {
    let Some(csms) = Csms::start() else { return };
    let gateway = connected(&csms, "ocpp1.6", "");
    let mut listener = gateway.listen();
    let start = json!({"id_tag": ALICE, "connector_id": 2});
    assert_eq!(csms.status("RemoteStartTransaction", start.clone()), "Accepted");
    gateway.does("plug-connector", json!({"connector_id": 2}));
    let started = csms.request("StartTransaction");
    assert_eq!((&started["idTag"], &started["connectorId"]), (&json!(ALICE), &json!(2)));
    assert_eq!(
        listener.next(3).iter().map(|it| it.1.as_str()).collect::<Vec<_>>(),
        ["Processing", "Accepted", "UsedToStart"]
    );
    assert_eq!(csms.unseen("Authorize"), 0, "it comes from the CSMS");
    assert_eq!(csms.status("RemoteStartTransaction", start), "Rejected");
    assert_eq!(csms.status("RemoteStartTransaction", json!({"id_tag": ALICE, "connector_id": 9})), "Rejected");
    wait_for("the name of the transaction", || {
        (csms.status("RemoteStopTransaction", json!({"transaction_id": 7001})) == "Accepted").then_some(())
    });
    assert_eq!(csms.request("StopTransaction")["reason"], "Remote");
    assert_eq!(csms.status("RemoteStopTransaction", json!({"transaction_id": 7001})), "Rejected");
    csms.is_content();
}

#[test]
fn the_csms_starts_and_stops_from_afar_in_2_0_1() {
    let Some(csms) = Csms::start() else { return };
    let gateway = connected(&csms, "ocpp2.0.1", "");
    gateway.does("plug-connector", json!({"evse_id": 1}));
    let token = json!({"id_token": ALICE, "type": "Central"});
    let start = json!({"id_token": token, "remote_start_id": 42, "evse_id": 1});
    assert_eq!(csms.status("RequestStartTransaction", start), "Accepted");
    let started = csms.request("TransactionEvent");
    assert_eq!(
        (&started["triggerReason"], &started["transactionInfo"]["remoteStartId"]),
        (&json!("RemoteStart"), &json!(42))
    );
    let id = started["transactionInfo"]["transactionId"].clone();
    let unlock = json!({"evse_id": 1, "connector_id": 1});
    assert_eq!(csms.status("UnlockConnector", unlock), "OngoingAuthorizedTransaction");
    assert_eq!(csms.status("RequestStopTransaction", json!({"transaction_id": id})), "Accepted");
    let ended = csms.request("TransactionEvent");
    assert_eq!((&ended["triggerReason"], &ended["transactionInfo"]["transactionId"]), (&json!("RemoteStop"), &id));
    assert_eq!(csms.status("UnlockConnector", json!({"evse_id": 1, "connector_id": 1})), "Unlocked");
    assert_eq!(csms.status("UnlockConnector", json!({"evse_id": 3, "connector_id": 1})), "UnknownConnector");
    csms.is_content();
}

#[test]
fn the_csms_sends_lists_and_keys() {
    let Some(csms) = Csms::start() else { return };
    let gateway = connected(&csms, "ocpp1.6", "");
    let mut listener = gateway.listen();
    assert_eq!(csms.ask("GetLocalListVersion", json!({}))["list_version"], 0);
    let list = |kind: &str, version: i32, entries: Value| {
        let list = json!({"list_version": version, "update_type": kind, "local_authorization_list": entries});
        csms.status("SendLocalList", list)
    };
    assert_eq!(list("Full", 3, json!([{"id_tag": ALICE, "id_tag_info": {"status": "Accepted"}}])), "Accepted");
    assert_eq!(list("Differential", 3, json!([{"id_tag": BOB}])), "VersionMismatch");
    assert_eq!(csms.ask("GetLocalListVersion", json!({}))["list_version"], 3);
    gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 1}));
    listener.hears("auth_api", ALICE, &["Processing", "Accepted", "UsedToStart"]);
    csms.request("StartTransaction");
    assert_eq!(csms.unseen("Authorize"), 0, "the list knows it");
    assert_eq!(list("Differential", 4, json!([{"id_tag": ALICE}])), "Accepted");

    let set = |key: &str, value: &str| csms.status("ChangeConfiguration", json!({"key": key, "value": value}));
    assert_eq!(set("LocalPreAuthorize", "false"), "Accepted");
    assert_eq!(set("LocalPreAuthorize", "perhaps"), "Rejected");
    assert_eq!(set("NumberOfConnectors", "5"), "Rejected");
    assert_eq!(set("Unheard", "5"), "NotSupported");
    let keys = csms.ask("GetConfiguration", json!({"key": ["LocalPreAuthorize", "NumberOfConnectors", "Unheard"]}));
    let expected = json!([
        {"key": "LocalPreAuthorize", "readonly": false, "value": "false"},
        {"key": "NumberOfConnectors", "readonly": true, "value": "2"},
    ]);
    assert_eq!((&keys["configuration_key"], &keys["unknown_key"]), (&expected, &json!(["Unheard"])));
    assert!(csms.ask("GetConfiguration", json!({}))["configuration_key"].as_array().unwrap().len() > 10);
    assert_eq!(set("AuthorizationCacheEnabled", "false"), "Accepted");
    assert_eq!(csms.status("ClearCache", json!({})), "Rejected");
    assert_eq!(set("HeartbeatInterval", "1"), "Accepted");
    csms.request("Heartbeat");
    csms.request("Heartbeat");
    csms.is_content();
}

#[test]
fn the_csms_sends_lists_and_variables_in_2_0_1() {
    let Some(csms) = Csms::start() else { return };
    let _gateway = connected(&csms, "ocpp2.0.1", "");
    let token = |tag: &str| json!({"id_token": tag, "type": "ISO14443"});
    let list = json!({"version_number": 2, "update_type": "Full", "local_authorization_list": [
        {"id_token": token(ALICE), "id_token_info": {"status": "Accepted"}}]});
    assert_eq!(csms.status("SendLocalList", list), "Accepted");
    assert_eq!(csms.ask("GetLocalListVersion", json!({}))["version_number"], 2);
    let named =
        |component: &str, variable: &str| json!({"component": {"name": component}, "variable": {"name": variable}});
    let with = |mut named: Value, value: &str| {
        named["attribute_value"] = json!(value);
        named
    };
    let set = csms.ask(
        "SetVariables",
        json!({"set_variable_data": [
            with(named("AuthCtrlr", "LocalPreAuthorize"), "false"),
            with(named("AuthCtrlr", "LocalPreAuthorise"), "false"),
            with(named("Lamp", "Colour"), "red"),
            with(named("LocalAuthListCtrlr", "Entries"), "1"),
        ]}),
    );
    let statuses = |results: &Value| -> Vec<String> {
        results.as_array().unwrap().iter().map(|it| it["attribute_status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(statuses(&set["set_variable_result"]), ["Accepted", "UnknownVariable", "UnknownComponent", "Rejected"]);
    let got = csms.ask(
        "GetVariables",
        json!({"get_variable_data": [
        named("AuthCtrlr", "LocalPreAuthorize"), named("Lamp", "Colour")]}),
    );
    assert_eq!(statuses(&got["get_variable_result"]), ["Accepted", "UnknownComponent"]);
    assert_eq!(got["get_variable_result"][0]["attribute_value"], "false");
    csms.is_content();
}

#[test]
fn triggers_and_availability() {
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        let gateway = connected(&csms, version, "");
        let trigger = |message: &str, place: i32| {
            let mut payload = json!({"requested_message": message});
            match (version, place) {
                (_, 0) => {}
                ("ocpp1.6", place) => payload["connector_id"] = json!(place),
                (_, place) => payload["evse"] = json!({"id": place}),
            }
            csms.status("TriggerMessage", payload)
        };
        assert_eq!(trigger("Heartbeat", 0), "Accepted");
        csms.request("Heartbeat");
        assert_eq!(trigger("BootNotification", 0), "Accepted");
        csms.request("BootNotification");
        assert_eq!(trigger("MeterValues", 2), "Accepted");
        let meter = csms.request("MeterValues");
        assert_eq!(meter[if version == "ocpp1.6" { "connectorId" } else { "evseId" }], 2);
        assert_eq!(trigger("StatusNotification", 1), "Accepted");
        csms.request("StatusNotification");
        assert_eq!(trigger("StatusNotification", 7), "Rejected");
        assert_eq!(trigger("FirmwareStatusNotification", 0), "NotImplemented");

        let change = |place: i32, is_operative: bool| {
            let word = if is_operative { "Operative" } else { "Inoperative" };
            match version {
                "ocpp1.6" => csms.status("ChangeAvailability", json!({"connector_id": place, "type": word})),
                _ if place == 0 => csms.status("ChangeAvailability", json!({"operational_status": word})),
                _ => csms.status("ChangeAvailability", json!({"operational_status": word, "evse": {"id": place}})),
            }
        };
        let key = if version == "ocpp1.6" { "status" } else { "connectorStatus" };
        assert_eq!(change(2, false), "Accepted");
        assert_eq!(csms.request("StatusNotification")[key], "Unavailable");
        assert!(gateway.fails("start-session", json!({"id_tag": ALICE, "connector_id": 2})).contains("out of service"));
        gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 1}));
        csms.of_transactions(1);
        assert_eq!(change(0, false), "Scheduled");
        assert_eq!(change(0, true), "Accepted");
        assert_eq!(change(9, true), "Rejected");
        csms.is_content();
    }
}

#[test]
fn a_reset_restarts_the_charger_and_keeps_its_cache() {
    for (version, kind, reason) in [("ocpp1.6", "Soft", "SoftReset"), ("ocpp2.0.1", "Immediate", "ImmediateReset")] {
        let Some(csms) = Csms::start() else { return };
        let gateway = connected(&csms, version, "");
        gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 1}));
        csms.request("Authorize");
        csms.of_transactions(1);
        assert_eq!(csms.status("Reset", json!({"type": kind})), "Accepted");
        let boot = csms.request("BootNotification");
        assert!(version == "ocpp1.6" || boot["reason"] == "RemoteReset");
        let ended = csms.of_transactions(1).remove(0);
        assert!(ended[3]["reason"] == reason || ended[3]["transactionInfo"]["stoppedReason"] == reason, "{ended}");
        session(&gateway, &csms, ALICE);
        assert_eq!(csms.unseen("Authorize"), 0, "the cache outlives a restart");
        csms.is_content();
    }
}

#[test]
fn after_a_reset_each_connector_tells_its_state_as_it_is() {
    for (version, kind) in [("ocpp1.6", "Hard"), ("ocpp2.0.1", "Immediate")] {
        let is_old = version == "ocpp1.6";
        let occupied = if is_old { "Preparing" } else { "Occupied" };
        for (place, after) in [
            (2, [(0, "Available"), (1, occupied), (2, "Unavailable")]),
            (0, [(0, "Unavailable"), (1, "Unavailable"), (2, "Unavailable")]),
        ] {
            let Some(csms) = Csms::start() else { return };
            let gateway = connected(&csms, version, "");
            let states = |count: usize| -> Vec<(i64, String)> {
                let (place, status) = if is_old { ("connectorId", "status") } else { ("evseId", "connectorStatus") };
                let told = (0..count).map(|_| csms.request("StatusNotification"));
                told.map(|it| (it[place].as_i64().unwrap(), it[status].as_str().unwrap().to_owned())).collect()
            };
            gateway.does("plug-connector", json!({"evse_id": 1}));
            assert_eq!(states(1), [(1, occupied.to_owned())]);
            let change = match place {
                place if is_old => json!({"connector_id": place, "type": "Inoperative"}),
                0 => json!({"operational_status": "Inoperative"}),
                place => json!({"operational_status": "Inoperative", "evse": {"id": place}}),
            };
            assert_eq!(csms.status("ChangeAvailability", change), "Accepted");
            let after = after.iter().filter(|it| is_old || it.0 > 0).map(|it| (it.0, it.1.to_owned()));
            let after: Vec<_> = after.collect();
            let changed: Vec<_> = after.iter().filter(|it| it.1 == "Unavailable").cloned().collect();
            assert_eq!(states(changed.len()), changed, "{version}, {place}");
            assert_eq!(csms.status("Reset", json!({"type": kind})), "Accepted");
            csms.request("BootNotification");
            assert_eq!(states(after.len()), after, "{version}, {place}");
            if place == 2 {
                gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 1}));
                csms.of_transactions(1);
            }
            csms.is_content();
        }
    }
}

/// The words of a request to keep an EVSE.
fn reservation(version: &str, id: i32, evse: i32, tag: &str, expiry: &str) -> Value {
    match version {
        "ocpp1.6" => json!({"connector_id": evse, "expiry_date": expiry, "id_tag": tag, "reservation_id": id}),
        _ => {
            let token = json!({"id_token": tag, "type": "Central"});
            json!({"id": id, "expiry_date_time": expiry, "id_token": token, "evse_id": evse})
        }
    }
}

#[test]
fn an_evse_is_kept_for_a_tag() {
    const LATER: &str = "2099-01-01T00:00:00Z";
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        let gateway = connected(&csms, version, "");
        let is_old = version == "ocpp1.6";
        let state = || csms.request("StatusNotification")[if is_old { "status" } else { "connectorStatus" }].clone();
        let reserve = |id, evse, tag, until| csms.status("ReserveNow", reservation(version, id, evse, tag, until));
        assert_eq!(reserve(1, 1, ALICE, LATER), "Accepted");
        assert_eq!(state(), "Reserved");
        assert_eq!(reserve(2, 1, BOB, LATER), "Occupied");
        assert_eq!(reserve(2, 7, BOB, LATER), "Rejected");
        assert_eq!(reserve(2, 2, BOB, "2020-01-01T00:00:00Z"), "Rejected");
        let start = json!({"id_tag": BOB, "connector_id": 1});
        assert!(gateway.fails("start-session", start).contains("reserved for another"));
        gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 1}));
        let started = csms.of_transactions(1).remove(0);
        assert_eq!(started[3]["reservationId"], 1, "{started}");
        assert!(["Charging", "Preparing", "Occupied"].contains(&state().as_str().unwrap()));
        gateway.does("stop-session", json!({"connector_id": 1}));
        csms.of_transactions(1);
        assert_eq!(csms.status("CancelReservation", json!({"reservation_id": 1})), "Rejected", "it is used");

        assert_eq!(reserve(3, 2, BOB, LATER), "Accepted");
        assert_eq!(csms.status("CancelReservation", json!({"reservation_id": 3})), "Accepted");
        gateway.does("plug-connector", json!({"evse_id": 2}));
        assert_eq!(reserve(4, 2, BOB, LATER), "Occupied");
        gateway.does("unplug-connector", json!({"evse_id": 2}));
        assert_eq!(reserve(5, 2, BOB, LATER), "Accepted");
        gateway.command("inject-fault", json!({"fault_type": "GroundFault", "evse_id": 2}));
        if !is_old {
            let update = csms.request("ReservationStatusUpdate");
            assert_eq!(update, json!({"reservationId": 5, "reservationUpdateStatus": "Removed"}));
        }
        assert_eq!(reserve(6, 2, BOB, LATER), "Faulted");
        let out = match is_old {
            true => json!({"connector_id": 1, "type": "Inoperative"}),
            false => json!({"operational_status": "Inoperative", "evse": {"id": 1}}),
        };
        assert_eq!(csms.status("ChangeAvailability", out), "Accepted");
        assert_eq!(reserve(6, 1, BOB, LATER), "Unavailable");
        csms.is_content();
    }
}

/// The words of a request to keep any EVSE for a tag, or a group besides.
fn global_reservation(version: &str, id: i32, tag: &str, group: Option<&str>, expiry: &str) -> Value {
    let mut words = reservation(version, id, 0, tag, expiry);
    if version != "ocpp1.6" {
        words.as_object_mut().unwrap().remove("evse_id");
    }
    if let Some(group) = group {
        let (key, group) = match version {
            "ocpp1.6" => ("parent_id_tag", json!(group)),
            _ => ("group_id_token", json!({"id_token": group, "type": "Central"})),
        };
        words[key] = group;
    }
    words
}

#[test]
fn a_reservation_has_its_effect_on_tokens() {
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        let gateway = connected(&csms, version, "");
        let is_old = version == "ocpp1.6";
        let state = || {
            let told = csms.request("StatusNotification");
            let evse = told[if is_old { "connectorId" } else { "evseId" }].as_i64().unwrap();
            (evse, told[if is_old { "status" } else { "connectorStatus" }].as_str().unwrap().to_owned())
        };
        let soon = |seconds: u64| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            khumbu::ocpp::rfc3339(now + Duration::from_secs(seconds))
        };
        // Any EVSE: one that is left is kept.
        let any = |id, tag, until: &str| {
            csms.status("ReserveNow", global_reservation(version, id, tag, Some("FAMILY"), until))
        };
        assert_eq!(any(1, ALICE, &soon(3600)), "Accepted");
        assert_eq!(any(2, BOB, &soon(3600)), "Accepted");
        let both = [state(), state()];
        assert_eq!(both, [(1, "Reserved".to_owned()), (2, "Reserved".to_owned())]);
        assert_eq!(any(3, BOB, &soon(3600)), "Occupied");
        assert_eq!(csms.status("CancelReservation", json!({"reservation_id": 1})), "Accepted");
        assert_eq!(csms.status("CancelReservation", json!({"reservation_id": 2})), "Accepted");
        let mut both = [state(), state()];
        both.sort();
        assert_eq!(both, [(1, "Available".to_owned()), (2, "Available".to_owned())]);
        // A token presented at the charger that is not the right one starts nothing where the right one does.
        let mut words = reservation(version, 4, 1, ALICE, &soon(3600));
        if !is_old {
            words["connector_type"] = json!("s309-1P-16A");
        }
        assert_eq!(csms.status("ReserveNow", words), "Accepted");
        assert_eq!(state(), (1, "Reserved".to_owned()));
        gateway.does("plug-connector", json!({"evse_id": 1}));
        gateway.does("authorize-id-tag", json!({"id_tag": BOB}));
        csms.request("Authorize");
        gateway.does("authorize-id-tag", json!({"id_tag": ALICE}));
        csms.request("Authorize");
        gateway.does("start-transaction", json!({"id_tag": ALICE, "connector_id": 1}));
        let started = csms.of_transactions(1).remove(0);
        assert_eq!(started[3]["reservationId"], 4, "{started}");
        gateway.does("stop-session", json!({"connector_id": 1}));
        csms.of_transactions(1);
        // Its time ends it.
        assert_eq!(csms.status("ReserveNow", reservation(version, 5, 2, ALICE, &soon(2))), "Accepted");
        while state() != (2, "Reserved".to_owned()) {}
        if !is_old {
            let update = csms.request("ReservationStatusUpdate");
            assert_eq!(update, json!({"reservationId": 5, "reservationUpdateStatus": "Expired"}));
        }
        assert_eq!(state(), (2, "Available".to_owned()));
        gateway.does("start-session", json!({"id_tag": BOB, "connector_id": 2}));
        csms.is_content();
    }
}

#[test]
fn a_charging_station_reports_what_it_is() {
    let Some(csms) = Csms::start() else { return };
    let gateway = connected(&csms, "ocpp2.0.1", "    vendor_name: Yeti\n");
    let ask = |base: &str| csms.status("GetBaseReport", json!({"request_id": 5, "report_base": base}));
    let report = || -> Vec<Value> {
        let (mut data, mut number) = (Vec::new(), 0);
        loop {
            let piece = csms.request("NotifyReport");
            assert_eq!((&piece["requestId"], &piece["seqNo"]), (&json!(5), &json!(number)));
            data.extend(piece["reportData"].as_array().unwrap().iter().cloned());
            number += 1;
            if piece["tbc"] != true {
                return data;
            }
        }
    };
    let value = |data: &[Value], component: Value, variable: &str| -> Vec<String> {
        let of = data.iter().filter(|it| it["component"] == component && it["variable"]["name"] == variable);
        of.map(|it| it["variableAttribute"][0]["value"].as_str().unwrap().to_owned()).collect()
    };
    gateway.does("plug-connector", json!({"evse_id": 2}));
    assert_eq!(csms.request("StatusNotification")["connectorStatus"], "Occupied");
    assert_eq!(ask("FullInventory"), "Accepted");
    let full = report();
    assert_eq!(value(&full, json!({"name": "LocalAuthListCtrlr"}), "Entries"), ["10000"]);
    let connector = json!({"name": "Connector", "evse": {"id": 2, "connectorId": 1}});
    assert_eq!(value(&full, connector, "AvailabilityState"), ["Occupied"]);
    assert_eq!(ask("ConfigurationInventory"), "Accepted");
    let settable = report();
    assert!(!settable.is_empty() && settable.iter().all(|it| it["variableAttribute"][0]["mutability"] == "ReadWrite"));
    assert_eq!(ask("SummaryInventory"), "Accepted");
    assert_eq!(report().len(), 5);

    let transaction = |id: Option<&Value>| {
        let payload = id.map_or_else(|| json!({}), |id| json!({"transaction_id": id}));
        csms.ask("GetTransactionStatus", payload)
    };
    assert_eq!(transaction(None), json!({"messages_in_queue": false}));
    gateway.does("start-session", json!({"id_tag": ALICE, "connector_id": 2}));
    let id = csms.of_transactions(1).remove(0)[3]["transactionInfo"]["transactionId"].clone();
    let until = |expected: Value| {
        wait_for("the status of the transaction", || (transaction(Some(&id)) == expected).then_some(()));
    };
    until(json!({"ongoing_indicator": true, "messages_in_queue": false}));
    csms.set(json!({"silent": ["TransactionEvent"]}));
    gateway.does("stop-session", json!({"connector_id": 2}));
    until(json!({"ongoing_indicator": false, "messages_in_queue": true}));
    let nobodys = json!("x");
    assert_eq!(transaction(Some(&nobodys)), json!({"ongoing_indicator": false, "messages_in_queue": false}));
    csms.is_content();
}

#[test]
fn data_of_vendors_is_answered_by_whose_it_is() {
    for version in VERSIONS {
        let Some(csms) = Csms::start() else { return };
        let _gateway = connected(&csms, version, "    vendor_name: Yeti\n");
        for (data, status) in [
            (json!({"vendor_id": "Other"}), "UnknownVendorId"),
            (json!({"vendor_id": "Other", "message_id": "x", "data": "y"}), "UnknownVendorId"),
            (json!({"vendor_id": "Yeti", "message_id": "x"}), "UnknownMessageId"),
            (json!({"vendor_id": "Yeti", "data": "y"}), "Rejected"),
        ] {
            assert_eq!(csms.status("DataTransfer", data), status);
        }
        csms.is_content();
    }
}
