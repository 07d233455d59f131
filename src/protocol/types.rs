//! The types of the API with EVerest's spelling.
//!
//! Source: AsyncAPI `auth_consumer_API.yaml`, `auth_token_validator_API.yaml`, `display_message_API.yaml`. Field order
//! is alphabetical, as EVerest writes objects; absent optional fields are left out, never `null`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of an id token; compared case-sensitively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum IdTokenType {
    Central,
    #[serde(rename = "eMAID")]
    EMaid,
    MacAddress,
    ISO14443,
    ISO15693,
    KeyCode,
    Local,
    NoAuthorization,
}

/// How a token came to the station.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum AuthorizationType {
    OCPP,
    RFID,
    Autocharge,
    PlugAndCharge,
    BankCard,
}

/// What a validator says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum AuthorizationStatus {
    Accepted,
    Blocked,
    ConcurrentTx,
    Expired,
    Invalid,
    NoCredit,
    NotAllowedTypeEVSE,
    NotAtThisLocation,
    NotAtThisTime,
    Unknown,
    PinRequired,
    Timeout,
}

/// What is known of the certificate of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum CertificateStatus {
    Accepted,
    SignatureError,
    CertificateExpired,
    CertificateRevoked,
    NoCertificateAvailable,
    CertChainError,
    ContractCancelled,
}

/// A way in which energy may flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, non_camel_case_types, clippy::upper_case_acronyms)]
pub enum EnergyTransferMode {
    AC_single_phase_core,
    AC_two_phase,
    AC_three_phase_core,
    DC_core,
    DC_extended,
    DC_combo_core,
    DC_unique,
    DC,
    AC_BPT,
    AC_BPT_DER,
    AC_DER,
    AC_DER_IEC,
    AC_DER_SAE,
    DC_BPT,
    DC_ACDP,
    DC_ACDP_BPT,
    WPT,
    MCS,
    MCS_BPT,
}

/// Where a token stands between presentation and use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum TokenValidationStatus {
    Processing,
    Accepted,
    Rejected,
    TimedOut,
    UsedToStart,
    UsedToStop,
    Withdrawn,
    UsedToReauthorize,
}

/// The answer to a withdraw request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum WithdrawAuthorizationResult {
    Accepted,
    AuthorizationNotFound,
    EvseNotFound,
    Rejected,
}

/// A free-form companion of an id token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CustomIdToken {
    /// 0 to 50 characters.
    pub r#type: String,
    /// 0 to 36 characters.
    pub value: String,
}

/// An id token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdToken {
    /// More tokens for validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_info: Option<Vec<CustomIdToken>>,
    /// The kind.
    pub r#type: IdTokenType,
    /// Printable ASCII, 0 to 36 characters, compared ignoring case.
    pub value: String,
}

impl IdToken {
    /// EVerest's match: values equal ignoring ASCII case, and types equal (AuthHandler.cpp, withdraw).
    pub fn matches(&self, other: &IdToken) -> bool {
        self.r#type == other.r#type && self.value.eq_ignore_ascii_case(&other.value)
    }
}

/// What identifies a certificate of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateHashData {
    /// The algorithm of the hashes.
    pub hash_algorithm: HashAlgorithm,
    /// Up to 128 characters.
    pub issuer_key_hash: String,
    /// Up to 128 characters.
    pub issuer_name_hash: String,
    /// Up to 512 characters.
    #[serde(rename = "responderURL")]
    pub responder_url: String,
    /// Up to 40 characters.
    pub serial_number: String,
}

/// An algorithm of hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum HashAlgorithm {
    SHA256,
    SHA384,
    SHA512,
}

/// A token as a provider hands it in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProvidedIdToken {
    /// How it came.
    pub authorization_type: AuthorizationType,
    /// PEM, up to 5500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// EVSE ids (the name is EVerest's), each at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connectors: Option<Vec<i32>>,
    /// The token.
    pub id_token: IdToken,
    /// The certificates of a contract; EVerest drops them.
    #[serde(default, rename = "iso15118CertificateHashData", skip_serializing_if = "Option::is_none")]
    pub certificate_hash_data: Option<Vec<CertificateHashData>>,
    /// The group the token belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id_token: Option<IdToken>,
    /// Whether validators need not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prevalidated: Option<bool>,
    /// Id of the request that brought the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<i32>,
}

/// A text for a display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageContent {
    /// The text.
    pub content: String,
    /// How to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<MessageFormat>,
    /// Free text, usually an RFC 5646 tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// How the text of a message is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, clippy::upper_case_acronyms)]
pub enum MessageFormat {
    ASCII,
    HTML,
    URI,
    UTF8,
    QRCODE,
}

/// A change of a token's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenValidationStatusMessage {
    /// Tariff messages; always present since 2026.02, empty unless the status is `Accepted`, or there are
    /// `validation_results`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<MessageContent>>,
    /// The status.
    pub status: TokenValidationStatus,
    /// The token.
    pub token: ProvidedIdToken,
    /// What the validators said; in no release yet, see [`super::deviations::Deviation::ValidationResults`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_results: Option<Vec<ValidationResult>>,
}

/// What a validator says of a token.
///
/// Source: `auth_token_validator_API.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationResult {
    /// How energy may flow; without effect on authorization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_energy_transfer_modes: Option<Vec<EnergyTransferMode>>,
    /// The result.
    pub authorization_status: AuthorizationStatus,
    /// What is known of the certificate; without effect on authorization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_status: Option<CertificateStatus>,
    /// The EVSEs the token may be used at; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evse_ids: Option<Vec<i32>>,
    /// RFC 3339; passed on and not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_time: Option<String>,
    /// The group the validator knows the token to belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id_token: Option<IdToken>,
    /// The reservation that is used; Auth says it to the EVSE, no validator does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<i32>,
    /// What a display should show with `Accepted`.
    pub tariff_messages: Vec<MessageContent>,
}

impl ValidationResult {
    /// A result that says nothing else.
    pub fn new(authorization_status: AuthorizationStatus) -> Self {
        Self {
            allowed_energy_transfer_modes: None,
            authorization_status,
            certificate_status: None,
            evse_ids: None,
            expiry_time: None,
            parent_id_token: None,
            reservation_id: None,
            tariff_messages: Vec::new(),
        }
    }
}

/// A validator's change of mind about the token in use at an EVSE (`m2e/validate_result_update`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationResultUpdate {
    /// The EVSE (the name is EVerest's).
    pub connector_id: i32,
    /// What it says now.
    pub validation_result: ValidationResult,
}

/// What a withdraw request names; nothing named means everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WithdrawAuthorizationRequest {
    /// The EVSE; EVerest casts any number to 32 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evse_id: Option<i32>,
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<IdToken>,
}

/// The type of a connector, in EVerest's names (`evse_manager`, `ConnectorTypeEnum`). `Unknown` is like every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, non_camel_case_types)]
pub enum ConnectorType {
    cCCS1,
    cCCS2,
    cG105,
    cMCS,
    cTesla,
    cType1,
    cType2,
    s309_1P_16A,
    s309_1P_32A,
    s309_3P_16A,
    s309_3P_32A,
    sBS1361,
    #[serde(rename = "sCEE-7_7")]
    sCEE_7_7,
    sType2,
    sType3,
    Other1PhMax16A,
    Other1PhOver16A,
    Other3Ph,
    Pan,
    wInductive,
    wResonant,
    Undetermined,
    #[default]
    Unknown,
}

impl ConnectorType {
    /// Whether a connector of this type is as good as one of the other (ReservationHandler.cpp): `Unknown` always is.
    pub fn serves(self, wanted: ConnectorType) -> bool {
        self == wanted || self == ConnectorType::Unknown || wanted == ConnectorType::Unknown
    }
}

/// What became of the wish to reserve (interface `reservation`, command `reserve_now`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ReservationResult {
    #[default]
    Accepted,
    Faulted,
    Occupied,
    Rejected,
    Unavailable,
}

/// What Auth tells of a reservation (interface `reservation`, variable `reservation_update`). Of its use it tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ReservationStatus {
    /// It was made.
    Placed,
    /// Something at the EVSE has ended it.
    Removed,
    /// Its time was over.
    Expired,
}
