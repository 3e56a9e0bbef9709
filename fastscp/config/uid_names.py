"""Symbolic names of UIDs that are no storage SOP class and no plain transfer syntax.

Association profiles may name any UID of the standard the way DCMTK does. The names of storage SOP classes
and transfer syntaxes are in ``fastscp.dicom.uids``.

Source: PS3.6 Annex A for the UIDs; the names are those that storescp 3.6.7 understands.
"""

from __future__ import annotations

_ROOT = "1.2.840.10008."

#: suffix to the root, name
_ROWS = """
1.2.6.1 RFC2557MIMEEncapsulation
1.2.6.2 XMLEncoding
1.3.10 MediaStorageDirectoryStorage
1.4.1.1 TalairachBrainAtlasFrameOfReference
1.4.1.2 SPM2T1FrameOfReference
1.4.1.3 SPM2T2FrameOfReference
1.4.1.4 SPM2PDFrameOfReference
1.4.1.5 SPM2EPIFrameOfReference
1.4.1.6 SPM2FILT1FrameOfReference
1.4.1.7 SPM2PETFrameOfReference
1.4.1.8 SPM2TRANSMFrameOfReference
1.4.1.9 SPM2SPECTFrameOfReference
1.4.1.10 SPM2GRAYFrameOfReference
1.4.1.11 SPM2WHITEFrameOfReference
1.4.1.12 SPM2CSFFrameOfReference
1.4.1.13 SPM2BRAINMASKFrameOfReference
1.4.1.14 SPM2AVG305T1FrameOfReference
1.4.1.15 SPM2AVG152T1FrameOfReference
1.4.1.16 SPM2AVG152T2FrameOfReference
1.4.1.17 SPM2AVG152PDFrameOfReference
1.4.1.18 SPM2SINGLESUBJT1FrameOfReference
1.4.2.1 ICBM452T1FrameOfReference
1.4.2.2 ICBMSingleSubjectMRIFrameOfReference
1.4.3.1 IEC61217FixedCoordinateSystemFrameOfReference
1.4.3.2 StandardRoboticCoordinateSystemFrameOfReference
1.4.3.3 IEC61217TableTopCoordinateSystemFrameOfReference
1.4.4.1 SRI24FrameOfReferenc
1.4.5.1 Colin27FrameOfReference
1.4.6.1 LPBA40AIRFrameOfReference
1.4.6.2 LPBA40FLIRTFrameOfReference
1.4.6.3 LPBA40SPM5FrameOfReference
1.5.1 HotIronColorPaletteSOPInstance
1.5.2 PETColorPaletteSOPInstance
1.5.3 HotMetalBlueColorPaletteSOPInstance
1.5.4 PET20StepColorPaletteSOPInstance
1.5.5 SpringColorPaletteSOPInstance
1.5.6 SummerColorPaletteSOPInstance
1.5.7 FallColorPaletteSOPInstance
1.5.8 WinterColorPaletteSOPInstance
1.9 RETIRED_BasicStudyContentNotificationSOPClass
1.20.1 StorageCommitmentPushModelSOPClass
1.20.1.1 StorageCommitmentPushModelSOPInstance
1.20.2 RETIRED_StorageCommitmentPullModelSOPClass
1.20.2.1 RETIRED_StorageCommitmentPullModelSOPInstance
1.40 ProceduralEventLoggingSOPClass
1.40.1 ProceduralEventLoggingSOPInstance
1.42 SubstanceAdministrationLoggingSOPClass
1.42.1 SubstanceAdministrationLoggingSOPInstance
2.6.1 DICOMUIDRegistryCodingScheme
2.16.4 DICOMControlledTerminologyCodingScheme
3.1.1.1 StandardApplicationContext
3.1.2.1.1 RETIRED_DetachedPatientManagementSOPClass
3.1.2.1.4 RETIRED_DetachedPatientManagementMetaSOPClass
3.1.2.2.1 RETIRED_DetachedVisitManagementSOPClass
3.1.2.3.1 RETIRED_DetachedStudyManagementSOPClass
3.1.2.3.2 RETIRED_StudyComponentManagementSOPClass
3.1.2.3.3 ModalityPerformedProcedureStepSOPClass
3.1.2.3.4 ModalityPerformedProcedureStepRetrieveSOPClass
3.1.2.3.5 ModalityPerformedProcedureStepNotificationSOPClass
3.1.2.5.1 RETIRED_DetachedResultsManagementSOPClass
3.1.2.5.4 RETIRED_DetachedResultsManagementMetaSOPClass
3.1.2.5.5 RETIRED_DetachedStudyManagementMetaSOPClass
3.1.2.6.1 RETIRED_DetachedInterpretationManagementSOPClass
4.2 StorageServiceClass
5.1.1.1 BasicFilmSessionSOPClass
5.1.1.2 BasicFilmBoxSOPClass
5.1.1.4 BasicGrayscaleImageBoxSOPClass
5.1.1.4.1 BasicColorImageBoxSOPClass
5.1.1.4.2 RETIRED_ReferencedImageBoxSOPClass
5.1.1.9 BasicGrayscalePrintManagementMetaSOPClass
5.1.1.9.1 RETIRED_ReferencedGrayscalePrintManagementMetaSOPClass
5.1.1.14 PrintJobSOPClass
5.1.1.15 BasicAnnotationBoxSOPClass
5.1.1.16 PrinterSOPClass
5.1.1.16.376 PrinterConfigurationRetrievalSOPClass
5.1.1.17 PrinterSOPInstance
5.1.1.17.376 PrinterConfigurationRetrievalSOPInstance
5.1.1.18 BasicColorPrintManagementMetaSOPClass
5.1.1.18.1 RETIRED_ReferencedColorPrintManagementMetaSOPClass
5.1.1.22 VOILUTBoxSOPClass
5.1.1.23 PresentationLUTSOPClass
5.1.1.24 RETIRED_ImageOverlayBoxSOPClass
5.1.1.24.1 RETIRED_BasicPrintImageOverlayBoxSOPClass
5.1.1.25 RETIRED_PrintQueueSOPInstance
5.1.1.26 RETIRED_PrintQueueManagementSOPClass
5.1.1.31 RETIRED_PullPrintRequestSOPClass
5.1.1.32 RETIRED_PullStoredPrintManagementMetaSOPClass
5.1.1.33 MediaCreationManagementSOPClass
5.1.1.40 DisplaySystemSOPClass
5.1.1.40.1 DisplaySystemSOPInstance
5.1.4.1.1.88.70 ImplantationPlanSRDocumentStorage
5.1.4.1.1.200.4 FINDProtocolApprovalInformationModel
5.1.4.1.1.200.5 MOVEProtocolApprovalInformationModel
5.1.4.1.1.200.6 GETProtocolApprovalInformationModel
5.1.4.1.2.1.1 FINDPatientRootQueryRetrieveInformationModel
5.1.4.1.2.1.2 MOVEPatientRootQueryRetrieveInformationModel
5.1.4.1.2.1.3 GETPatientRootQueryRetrieveInformationModel
5.1.4.1.2.2.1 FINDStudyRootQueryRetrieveInformationModel
5.1.4.1.2.2.2 MOVEStudyRootQueryRetrieveInformationModel
5.1.4.1.2.2.3 GETStudyRootQueryRetrieveInformationModel
5.1.4.1.2.3.1 RETIRED_FINDPatientStudyOnlyQueryRetrieveInformationModel
5.1.4.1.2.3.2 RETIRED_MOVEPatientStudyOnlyQueryRetrieveInformationModel
5.1.4.1.2.3.3 RETIRED_GETPatientStudyOnlyQueryRetrieveInformationModel
5.1.4.1.2.4.2 MOVECompositeInstanceRootRetrieve
5.1.4.1.2.4.3 GETCompositeInstanceRootRetrieve
5.1.4.1.2.5.3 GETCompositeInstanceRetrieveWithoutBulkData
5.1.4.20.1 FINDDefinedProcedureProtocolInformationModel
5.1.4.20.2 MOVEDefinedProcedureProtocolInformationModel
5.1.4.20.3 GETDefinedProcedureProtocolInformationModel
5.1.4.31 FINDModalityWorklistInformationModel
5.1.4.32 RETIRED_GeneralPurposeWorklistManagementMetaSOPClass
5.1.4.32.1 RETIRED_FINDGeneralPurposeWorklistInformationModel
5.1.4.32.2 RETIRED_GeneralPurposeScheduledProcedureStepSOPClass
5.1.4.32.3 RETIRED_GeneralPurposePerformedProcedureStepSOPClass
5.1.4.33 InstanceAvailabilityNotificationSOPClass
5.1.4.34.2 DRAFT_RTConventionalMachineVerification
5.1.4.34.3 DRAFT_RTIonMachineVerification
5.1.4.34.4 DRAFT_UnifiedWorklistAndProcedureStepServiceClass
5.1.4.34.4.1 DRAFT_UnifiedProcedureStepPushSOPClass
5.1.4.34.4.2 DRAFT_UnifiedProcedureStepWatchSOPClass
5.1.4.34.4.3 DRAFT_UnifiedProcedureStepPullSOPClass
5.1.4.34.4.4 DRAFT_UnifiedProcedureStepEventSOPClass
5.1.4.34.5 UPSGlobalSubscriptionSOPInstance
5.1.4.34.5.1 UPSFilteredGlobalSubscriptionSOPInstance
5.1.4.34.6 UnifiedWorklistAndProcedureStepServiceClass
5.1.4.34.6.1 UnifiedProcedureStepPushSOPClass
5.1.4.34.6.2 UnifiedProcedureStepWatchSOPClass
5.1.4.34.6.3 UnifiedProcedureStepPullSOPClass
5.1.4.34.6.4 UnifiedProcedureStepEventSOPClass
5.1.4.34.6.5 UnifiedProcedureStepQuerySOPClass
5.1.4.34.8 RTConventionalMachineVerification
5.1.4.34.9 RTIonMachineVerification
5.1.4.37.1 GeneralRelevantPatientInformationQuery
5.1.4.37.2 BreastImagingRelevantPatientInformationQuery
5.1.4.37.3 CardiacRelevantPatientInformationQuery
5.1.4.38.2 FINDHangingProtocolInformationModel
5.1.4.38.3 MOVEHangingProtocolInformationModel
5.1.4.39.2 FINDColorPaletteInformationModel
5.1.4.39.3 MOVEColorPaletteInformationModel
5.1.4.39.4 GETColorPaletteInformationModel
5.1.4.41 ProductCharacteristicsQuerySOPClass
5.1.4.42 SubstanceApprovalQuerySOPClass
5.1.4.43.2 FINDGenericImplantTemplateInformationModel
5.1.4.43.3 MOVEGenericImplantTemplateInformationModel
5.1.4.43.4 GETGenericImplantTemplateInformationModel
5.1.4.44.2 FINDImplantAssemblyTemplateInformationModel
5.1.4.44.3 MOVEImplantAssemblyTemplateInformationModel
5.1.4.44.4 GETImplantAssemblyTemplateInformationModel
5.1.4.45.2 FINDImplantTemplateGroupInformationModel
5.1.4.45.3 MOVEImplantTemplateGroupInformationModel
5.1.4.45.4 GETImplantTemplateGroupInformationModel
7.1.1 NativeDICOMModel
7.1.2 AbstractMultiDimensionalImageModel
8.1.1 DICOMContentMappingResource
10.1 VideoEndoscopicImageRealTimeCommunication
10.2 VideoPhotographicImageRealTimeCommunication
10.3 AudioWaveformRealTimeCommunication
10.4 RenditionSelectionDocumentRealTimeCommunication
15.0.3.1 LDAP_dicomDeviceName
15.0.3.2 LDAP_dicomDescription
15.0.3.3 LDAP_dicomManufacturer
15.0.3.4 LDAP_dicomManufacturerModelName
15.0.3.5 LDAP_dicomSoftwareVersion
15.0.3.6 LDAP_dicomVendorData
15.0.3.7 LDAP_dicomAETitle
15.0.3.8 LDAP_dicomNetworkConnectionReference
15.0.3.9 LDAP_dicomApplicationCluster
15.0.3.10 LDAP_dicomAssociationInitiator
15.0.3.11 LDAP_dicomAssociationAcceptor
15.0.3.12 LDAP_dicomHostname
15.0.3.13 LDAP_dicomPort
15.0.3.14 LDAP_dicomSOPClass
15.0.3.15 LDAP_dicomTransferRole
15.0.3.16 LDAP_dicomTransferSyntax
15.0.3.17 LDAP_dicomPrimaryDeviceType
15.0.3.18 LDAP_dicomRelatedDeviceReference
15.0.3.19 LDAP_dicomPreferredCalledAETitle
15.0.3.20 LDAP_dicomTLSCyphersuite
15.0.3.21 LDAP_dicomAuthorizedNodeCertificateReference
15.0.3.22 LDAP_dicomThisNodeCertificateReference
15.0.3.23 LDAP_dicomInstalled
15.0.3.24 LDAP_dicomStationName
15.0.3.25 LDAP_dicomDeviceSerialNumber
15.0.3.26 LDAP_dicomInstitutionName
15.0.3.27 LDAP_dicomInstitutionAddress
15.0.3.28 LDAP_dicomInstitutionDepartmentName
15.0.3.29 LDAP_dicomIssuerOfPatientID
15.0.3.30 LDAP_dicomPreferredCallingAETitle
15.0.3.31 LDAP_dicomSupportedCharacterSet
15.0.4.1 LDAP_dicomConfigurationRoot
15.0.4.2 LDAP_dicomDevicesRoot
15.0.4.3 LDAP_dicomUniqueAETitlesRegistryRoot
15.0.4.4 LDAP_dicomDevice
15.0.4.5 LDAP_dicomNetworkAE
15.0.4.6 LDAP_dicomNetworkConnection
15.0.4.7 LDAP_dicomUniqueAETitle
15.0.4.8 LDAP_dicomTransferCapability
15.1.1 UniversalCoordinatedTimeSynchronizationFrameOfReference
"""


def other_uids() -> dict[str, str]:
    """Return name to UID."""
    pairs = (row.split() for row in _ROWS.split("\n") if row)
    return {name: _ROOT + suffix for suffix, name in pairs} | {
        "PrivateGELittleEndianImplicitWithBigEndianPixelData": "1.2.840.113619.5.2",
    }
